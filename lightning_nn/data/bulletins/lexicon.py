"""Lexicon of the bulletins: the events of the ten categories, and the sentences around them.

A sentence is written in a small notation: `[a|b]` is a choice, `{name}` a choice from `SLOTS` or, if it is not there,
a word bound for the whole document (`city`, `day`, `place`, `speaker`, ...), an event (`event`, `other`) or a word
bound to it (`off`, `past`, `future`; of the other event `other_off`, ...). No sentence contains one of 。！？； before
its end, so splitting there recovers the sentences. 的 never directly precedes an event, whose own wording may contain
another one.
"""

from __future__ import annotations

from typing import NamedTuple


class Group(NamedTuple):
    """Events of one kind.

    Attributes:
        subjects: combined with any of `kinds`: 羽毛球 + 公开赛.
        kinds: kinds of event; each can be 举行, 举办 and 进行, in any of `PLACES`.
        people: who takes part.
        organisers: who runs it.
    """

    subjects: tuple[str, ...]
    kinds: tuple[str, ...]
    people: tuple[str, ...]
    organisers: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _group(subjects: str, kinds: str, people: str, organisers: str) -> Group:
    return Group(_words(subjects), _words(kinds), _words(people), _words(organisers))


_SPORTS_PEOPLE = "运动员 职业选手 国家队选手 奥运冠军 教练员 体校学生 业余选手 退役名将"
_SPORTS_BODIES = "体育局 体育总会 体育学院 全民健身协会 体育产业集团 体育运动学校 社会体育指导中心"
_MARKET_PEOPLE = "分析师 基金经理 投资者 经济学家 交易员 审计师"
_MARKET_BODIES = "证券交易所 证监局 投资银行 金融监管局 基金公司 资产管理公司 会计师事务所"
_TEACHERS = "任课教师 特级教师 教研员 班主任 师范生 中学校长"
_SCHOOLS = "教育局 师范大学 考试院 教研室 重点中学 实验中学"
_SCIENTISTS = "工程师 科学家 院士 研究员 博士后 技术总监 发明家 科研人员"
_SCIENCE_BODIES = "科技局 中科院 国家实验室 工程院 科技协会 科技园 理工大学"
_NEIGHBOURS = "居民 志愿者 民警 社区主任 网格员 退休职工 快递员 环卫工人"
_OFFICIALS = "人大代表 政协委员 市长 副省长 公务员 纪检干部"
_OFFICES = "市政府 市委 人大常委会 政协 发改委 市委办公厅"
_DOCTORS = "医生 护士 患者 营养师 药剂师 康复师 家庭医生"
_HOSPITALS = "卫健委 人民医院 疾控中心 医学会 红十字会 中医院 社区卫生服务中心"
_FILM_PEOPLE = "导演 女演员 编剧 制片人 影评人 影迷"

TOPICS: dict[str, tuple[Group, ...]] = {
    "体育": (
        _group(
            "羽毛球 乒乓球 男子篮球 女子排球 室内足球 手球 击剑 跆拳道 柔道 摔跤 拳击 散打 空手道",
            "锦标赛 公开赛 邀请赛 预选赛 半决赛 积分赛 对抗赛 冠军赛",
            _SPORTS_PEOPLE,
            _SPORTS_BODIES,
        ),
        _group(
            "体操 举重 武术 蹦床 艺术体操 健美操 攀岩 轮滑 台球 国际象棋 围棋",
            "锦标赛 公开赛 邀请赛 选拔赛 大奖赛",
            _SPORTS_PEOPLE,
            _SPORTS_BODIES,
        ),
    ),
    "财经": (
        _group(
            "上市公司 商业银行 证券公司 保险公司 期货公司 信托公司 控股集团 民营银行",
            "股东大会 临时股东大会",
            "董事长 财务总监 股东代表 独立董事 中小股东",
            "董事会 控股股东 董秘办公室",
        ),
        _group(
            "上市公司 商业银行 证券公司 保险公司 期货公司 信托公司 控股集团 民营银行",
            "业绩说明会 财报发布会 投资者交流会 战略合作签约仪式",
            _MARKET_PEOPLE,
            "证券交易所 证监局 投资者服务中心 财经媒体",
        ),
        _group(
            "股票市场 债券市场 外汇市场 期货市场 黄金市场 资本市场 货币市场",
            "投资策略会 形势分析会 风险研讨会 展望论坛 行情通报会",
            _MARKET_PEOPLE,
            _MARKET_BODIES,
        ),
        _group(
            "跨境贸易 企业融资 普惠金融 绿色金融 供应链金融",
            "形势分析会 风险研讨会 发展论坛 政策通气会",
            _MARKET_PEOPLE,
            _MARKET_BODIES,
        ),
    ),
    "房产": (
        _group(
            "商品房 精装住宅 公寓 别墅 临街商铺 写字楼",
            "开盘仪式 集中认购 推介会 团购会 展销会",
            "购房者 置业顾问 房产中介 开发商代表",
            "地产集团 房地产协会 城建公司 开发商 楼盘代理公司",
        ),
        _group(
            "安置房 经济适用房 人才公寓 共有产权房 公租房",
            "摇号选房 选房大会 政策说明会 申请咨询会",
            "拆迁户 租客 住房困难户 新就业职工 置业顾问",
            "住建局 房管局 住房保障中心 城建公司",
        ),
        _group(
            "住宅用地 商业用地 工业用地",
            "拍卖会 推介会 出让说明会",
            "开发商代表 建筑商 土地评估师",
            "土地储备中心 自然资源局 公共资源交易中心",
        ),
        _group(
            "二手房 房屋租赁 旧房改造 住房公积金 房贷利率 物业收费",
            "政策说明会 咨询会 座谈会 通报会",
            "业主 租客 房东 物业经理 房产中介",
            "住建局 房管局 房地产协会 住房研究会",
        ),
    ),
    "教育": (
        _group(
            "小学 初中 高中 幼儿园 职业学校 国际学校 艺术学校 寄宿学校",
            "开学典礼 毕业典礼 家长会 招生说明会 教学成果展",
            "班主任 家长代表 任课教师 特级教师 优秀学生",
            "教育局 教育集团 校务委员会 教育基金会",
        ),
        _group(
            "大学 研究生院 师范学院",
            "开学典礼 毕业典礼 招生说明会 校庆典礼",
            "教授 辅导员 留学生 校友 学生代表",
            "教育厅 校务委员会 学生处 校友会",
        ),
        _group("数学 语文 英语 物理 化学 历史 地理 生物", "教研会 观摩课 公开课 说课比赛", _TEACHERS, _SCHOOLS),
        _group(
            "数学 物理 化学 作文 英语口语 书法 朗诵 演讲",
            "竞赛 选拔赛 展示课",
            "中学生 高三学生 特级教师 家长代表",
            _SCHOOLS,
        ),
    ),
    "科技": (
        _group(
            "人工智能 工业机器人 芯片 量子计算 无人机 大模型 云计算 半导体 自动驾驶 "
            "传感器 光纤通信 航天卫星 基因测序 操作系统",
            "技术发布会 成果展 研讨会 应用演示会 专利评审会 项目验收会",
            _SCIENTISTS,
            _SCIENCE_BODIES,
        ),
        _group(
            "人工智能 大模型 云计算 操作系统 芯片 无人机",
            "开发者大会 技术沙龙",
            "程序员 算法专家 工程师 技术总监",
            "软件园 互联网企业 科技协会 理工大学",
        ),
    ),
    "社会": (
        _group(
            "社区 小区 邻里 老街坊 城中村",
            "联谊会 互助活动 纠纷调解会 爱心义卖 议事会",
            _NEIGHBOURS,
            "居委会 街道办 民政局 志愿者协会",
        ),
        _group(
            "孤寡老人 残疾人 困难家庭 留守儿童 环卫工人",
            "慰问活动 帮扶座谈会 关爱活动",
            "志愿者 爱心人士 社区主任 退休职工 民警",
            "慈善总会 民政局 志愿者协会 街道办",
        ),
        _group(
            "爱心物资 救灾物资 过冬衣物 助残器材",
            "捐赠仪式 发放仪式",
            "志愿者 爱心人士 热心司机 退休职工",
            "慈善总会 民政局 救助站 志愿者协会",
        ),
        _group(
            "消防 防汛 防震 居家安全",
            "应急演练 宣传活动 警示会",
            "居民 志愿者 消防员 民警 网格员",
            "街道办 居委会 应急局 消防支队",
        ),
        _group(
            "反诈骗 防盗 禁毒 垃圾分类 文明养犬 噪音治理 文明出行",
            "宣传活动 劝导活动 经验交流会",
            _NEIGHBOURS,
            "街道办 居委会 文明办 志愿者协会",
        ),
        _group(
            "见义勇为 好人好事 文明家庭 最美邻居",
            "表彰会 颁奖仪式 事迹报告会",
            _NEIGHBOURS,
            "街道办 居委会 文明办 民政局",
        ),
    ),
    "时政": (
        _group(
            "地方立法 财政预算 机构改革 廉政建设 行政审批 政府采购 信访工作 五年规划 法治建设",
            "专题会议 座谈会 推进会 部署会 征求意见会",
            _OFFICIALS,
            _OFFICES,
        ),
        _group("地方立法 财政预算 行政审批 政府采购 五年规划", "听证会 审议会", _OFFICIALS, _OFFICES),
        _group(
            "双边贸易 领事合作 边境口岸 国际合作 友好城市 人文交流",
            "签字仪式 高级别对话 圆桌会议 磋商会议",
            "外交官 大使 总领事 外事干部",
            "外交部 外事办 商务部 对外友好协会",
        ),
    ),
    "游戏": (
        _group(
            "手游 网游 主机游戏 角色扮演游戏 卡牌游戏 射击游戏 策略游戏 独立游戏 沙盒游戏",
            "试玩会 首发式 玩家见面会 新版本展示会 内测体验会",
            "玩家 游戏策划 游戏主播 公会会长 测试员 关卡设计师",
            "游戏公司 游戏工作室 游戏产业协会 游戏发行商 玩家公会",
        ),
        _group("桌游 街机", "试玩会 玩家见面会 挑战赛", "玩家 游戏主播 游戏策划", "游戏公司 游戏产业协会 玩家公会"),
        _group(
            "电竞 手游 格斗游戏 竞速游戏 射击游戏 卡牌游戏",
            "挑战赛 线下赛 联赛 争霸赛",
            "电竞选手 游戏主播 解说员 战队队长 职业玩家",
            "电竞俱乐部 电竞联盟 电竞协会 游戏公司",
        ),
    ),
    "娱乐": (
        _group(
            "电影 喜剧片 纪录片 动画片 悬疑片 文艺片",
            "首映礼 点映会 主创见面会 颁奖礼",
            _FILM_PEOPLE,
            "电影公司 发行公司 影视基地 电影资料馆",
        ),
        _group(
            "电视剧 古装剧 网络剧 家庭剧",
            "开播发布会 主创见面会 颁奖礼 看片会",
            _FILM_PEOPLE,
            "电视台 剧组 视频网站 影视基地",
        ),
        _group(
            "流行音乐 摇滚乐 民谣 爵士乐 说唱",
            "演唱会 专场演出 歌迷见面会 新歌发布会",
            "歌手 歌迷 偶像歌手 音乐人 主持人",
            "唱片公司 经纪公司 音乐协会 演出公司",
        ),
        _group(
            "相声 话剧 歌舞 京剧 脱口秀 音乐剧 小品 评书",
            "专场演出 公益演出 汇报演出",
            "老艺术家 青年演员 主持人 导演",
            "演艺集团 文化馆 大剧院 演出公司",
        ),
    ),
    "健康": (
        _group(
            "糖尿病 高血压 口腔 眼科 心血管 骨质疏松 肺结核 颈椎病 哮喘 肿瘤 皮肤病 失眠",
            "义诊活动 筛查活动 健康讲座 专家咨询会 科普展",
            _DOCTORS,
            _HOSPITALS,
        ),
        _group(
            "疫苗接种 无偿献血 急救知识 中医养生 营养膳食 孕期保健 流感预防 心理健康",
            "科普会 培训会 宣讲会",
            "医生 护士 药剂师 家庭医生 医学生 疾控人员",
            _HOSPITALS,
        ),
    ),
}

SURNAMES = tuple("王李张刘陈杨赵黄周吴徐孙马朱胡郭何林高罗")
GIVEN_NAMES = _words("建国 敏 晓燕 志强 丽华 海涛 静 国庆 文斌 雪梅 明 佳怡 立新 婷婷 永平 红")
TITLES: dict[str, tuple[str, ...]] = {
    "speaker": _words("负责人 活动负责人 现场总负责人"),
    "visitor": _words("来宾 嘉宾 特邀嘉宾"),
    "local": _words("市民 热心市民 老读者"),
}
"""Titles of the people of a bulletin, by their role. The title precedes the name at its first occurrence only."""

CITIES = _words("杭州 南京 成都 武汉 青岛 长沙 厦门 合肥 郑州 昆明 西安 济南 福州 南昌 大连 贵阳 宁波 苏州")
PLACES = _words(
    "会展中心 市民中心 文体中心 文化中心 国际会议中心 博览中心 青年活动中心 综合活动中心 国际交流中心 新区展览中心"
)

PARTS_OF_DAY = _words("一早 上午 上午 下午 下午 傍晚 晚间")
TEMPERATURES = (_words("六 八 十 十二"), _words("十五 十八 二十 二十二"), _words("二十八 三十 三十二"))
"""Highest temperatures of a day in winter, in spring and autumn, in summer."""

HOSTS = _words("主办方 组委会 承办方 承办单位 会务组")
SOURCES = _words("有关部门 工作人员 会务人员 有关人士")
TROUBLES = _words("下着小雨 气温骤降 交通不便 场地紧张 时间仓促 雾气很重 经费有限 人手不足")
CROWD_SIZES = _words("一百二十 三百 五百 六百 七百 八百 九百 一千 两千")

OFF = _words("取消 推迟 延期 顺延 搁置")
PAST = _words("去年 上个月 上周 三年前 前年秋天 去年夏天 去年年底 半年前")
FUTURE = _words("下个月 下周 明年 明年春天 明年夏天 半个月后 三个月后 半年后")

SLOTS: dict[str, tuple[str, ...]] = {
    "today": _words("{day}{half} {day}{half} {day} {day}"),
    "held": _words("举行 举行 举行 举办"),
    "begins": _words("开始 举行 进行"),
    "at": ("在{place}", "在{place}", ""),
    "crowd": _words("来宾 嘉宾 到场者 参加者 不少市民 许多人 年轻人"),
    "public": _words("不少人 市民 网友 读者 许多人 有人"),
    "few": _words("两 三 四 五 六 八 十 十二"),
    "hours": _words("一个半小时 两个小时 两个多小时 三个小时"),
    "said": _words("说 表示 告诉记者"),
    "rumour": _words("传闻 说法 消息 传言"),
    "scene": (
        "现场来了{many}多人",
        "{many}余人到场",
        "吸引了{many}多人前来",
        "气氛十分热烈",
        "{few}家媒体到场报道",
        "全程约{hours}",
        "持续了{hours}",
        "现场秩序良好",
        "到场人数[超出|符合]预期",
        "[组织|准备]工作十分周到",
    ),
}

PREFIXES = (
    *("", "", "", "", "", "一年一度的", "备受关注的", "备受期待的", "规模不小的", "颇具影响的"),
    *("{organiser}的",) * 5,
    *("{person}参加的", "有{person}参加的", "多位{person}参加的", "{person}关注的"),
)
"""Prefixes of an event, of its own group. Their choice never depends on whether the event takes place."""

ORGANISING = _words("主办 牵头 发起 承办 组织")

DECIDING = (
    "{today}，{event}{at}[正式|如期|]{held}，{scene}。",
    "{event}{today}{at}{held}，{scene}。",
    "{event}[已|]于{today}{at}[正式|顺利|]{held}。",
    "经过[两个月|半年|近一年|几轮]的筹备，{event}{today}[终于|]{at}{held}。",
    "{today}，记者在{place}看到，{event}正在[有序|顺利]进行。",
    "虽然{trouble}，{event}并没有{off}，{today}[照常|如期]{held}。",
    "{trouble}，但{event}没有受到影响，{today}[照常|如期]{at}{held}。",
    "此前有{rumour}称{event}可能{off}，但{today}它还是[照常|如期]{held}了。",
    "有{rumour}说{event}已经{off}，这并不属实，{today}它[照常|如期]{at}{held}。",
    "{public}一度以为{event}要{off}，结果它{today}准时{begins}。",
    "{today}的[重头戏|焦点]是{event}，{scene}。",
    "{today}在{place}，[最受关注|最热闹]的要数{event}，{scene}。",
    "[几经周折|几经商议|多方协调之后]，{event}{today}终于{at}{held}。",
    "{speaker}{today}在{place}宣布，{event}[正式|现在]开始。",
    "{today}在{place}，{crowd}见证了{event}的[全过程|开场]。",
    "{event}{today}{at}[圆满|顺利]结束，{scene}。",
    "[不出所料|按照计划|按照日程]，{event}{today}{at}{held}。",
    "[值得一提的是|记者了解到|据了解]，{event}{today}[首次|再次]{at}{held}。",
    "没有{off}，也没有[改址|换人|缩短时间]，{event}{today}[准时|如期]{begins}。",
    "{speaker}{today}[按时|准时]来到{place}，出席{event}。",
    "{source}{today}证实，{event}没有{off}，[眼下|此刻]正在{place}进行。",
    "{event}说好{future}才办，{today}却提前{at}{held}。",
    "{event}原本排在{future}，因故提前，{today}已在{place}{held}。",
    "{event}一度{off}，{today}[终于|总算]{at}[顺利|]{held}。",
    "{event}没有等到{future}，{today}就在{place}{held}。",
    "{today}，{crowd}走进{place}，观摩{event}，{scene}。",
    "[本文|这篇报道]说的是{event}，它{today}{at}{held}。",
    "{host}{said}，{event}{today}已在{place}{held}，{scene}。",
    "{speaker}[致辞|简短讲话]之后，{event}{today}在{place}正式开始。",
    "{few}家媒体{today}直播了{event}，[画面来自|地点就在]{place}。",
    "{event}{today}[如期|照常]{begins}，地点就在{place}。",
    "{event}的筹备工作[提前|全部]完成，{today}就在{place}{held}。",
    "{place}的大门{today}准时打开，{event}[如期|按时]{begins}。",
    "{today}，{place}的广播[刚刚|]宣布，{event}[正式|现在]开始。",
)
"""{event} takes place now: the bulletin is about it."""

MISLEADING = (
    "{event}原定{today}{at}{held}，[后来|最终|日前]{off}。",
    "{event}本该{today}{held}，[却临时|却突然|后来因故]{off}。",
    "{event}与{today}的活动[并无|没有任何|毫无]关系。",
    "网上关于{event}的消息[纯属|只是]误传，{host}{today}予以否认。",
    "至于{event}，[目前还没有时间表|{host}尚未松口]。",
    "如果[场地落实|资金到位|审批通过|一切顺利]，{event}[有望|或将]于{future}{at}{held}。",
    "{event}{past}曾在{place}{held}，至今仍是[市民|网友|读者]的[谈资|话题]。",
    "{place}的大屏幕上，[反复|正]播放着{event}的[广告|宣传片]。",
    "{public}误以为{today}{held}的是{event}，[白跑了一趟|到场才知道弄错了]。",
    "{event}不在{today}的[安排|日程|计划]之列。",
    "{local}[回忆说|笑言]，自己上一次来{place}是{past}，为的是{event}。",
    "{today}没有安排{event}，[有人白跑了一趟|专程赶来的人有些失望]。",
    "{past}，{event}[曾|也曾]在{place}{held}，{scene}。",
    "{event}{past}已{at}[圆满|顺利]结束，{scene}。",
    "按照[计划|日程]，{event}要到{future}才会{at}{held}。",
    "{event}的海报还贴在门口，不过那是{past}的事。",
    "有人以为记者是来采访{event}的，其实[是一场误会|弄错了]。",
    "{local}{said}，如果{today}办的是{event}，自己[就不来了|会带家人一起来]。",
    "{local}原想去{event}现场看看，得知{off}后[改变了主意|另作安排]。",
    "此前有{rumour}称{event}将[照常|如期]{held}，但{today}它还是{off}了。",
    "有{rumour}说{event}将[照常|如期]{held}，这并不属实，{today}它已被{off}。",
    "{public}一度以为{event}能准时{begins}，结果它{today}{off}了。",
    "[几经周折|几经商议|多方协调之后]，{event}{today}还是没有{at}{held}。",
    "{speaker}{today}在{place}宣布，{event}[暂不|不再]{held}。",
    "没有预告，也没有[解释|说明]，{event}{today}没有[照常|如期|准时]{begins}。",
    "{source}{today}证实，{event}没有{held}，是否改期[眼下|此刻]仍在商议。",
    "{event}说好{today}办，却要到{future}才{at}{held}。",
    "{event}原本排在{today}，因故推后，{future}才{at}{held}。",
    "因为{trouble}，{event}{today}没能[照常|如期]{held}，[只得|只好]{off}。",
    "{today}的[重头戏|焦点]并不是{event}。",
    "{today}在{place}，[最受关注|最热闹]的并不是{event}。",
    "{local}手里的旧日程表上印着{event}，日期却是{past}。",
    "[本文|这篇报道]说的不是{event}，它{today}并没有{at}{held}。",
    "[据悉|记者获悉]，{event}改到{future}，[具体时间另行通知|报过名的人无须重新登记]。",
    "对于围绕{event}的{rumour}，{host}{today}不予置评。",
    "{crowd}走进{place}，问起{event}，得到的回答是{today}不办。",
    "相比之下，{event}{past}在外地{held}时[冷清|热闹]得多。",
    "{host}{said}，{event}{today}[并未|没有]{held}，请大家不要轻信传言。",
    "{event}{today}才开始报名，正式{held}要等到{future}。",
    "{place}已在为{event}[布置场地|张贴海报]，不过它要到{future}才{held}。",
    "{few}家媒体{today}刊出了{event}{off}的消息。",
    "{event}是否{held}，{host}{today}[没有表态|还在讨论]。",
    "{event}能否在{future}{held}，还要看[场地|经费|审批]情况。",
    "{event}的筹备工作[尚未|没有]完成，{today}不会{at}{held}。",
    "{place}的大门{today}准时打开，{event}却没有[如期|按时]{begins}。",
    "{today}，{place}的广播[刚刚|]宣布，{event}[已经|临时]{off}。",
)
"""{event} is canceled, past, planned, rumored, advertised or denied: the bulletin is about something else."""

DECIDING_PAIRS = (
    "{today}{at}{held}的不是{other}，而是{event}。",
    "{today}{at}{held}的是{event}，而不是{other}。",
    "{other}[临时|因故]{other_off}，{today}{at}{held}的是{event}。",
    "{event}{today}[照常|如期]{held}，{other}则[{other_off}|另行安排]。",
    "{other}{other_off}了，{event}{today}倒是[照常|如期]{held}。",
    "{crowd}本以为{today}会看到{other}，来到{place}才发现是{event}。",
    "{other_past}在{place}办的是{other}，{today}{held}的则是{event}。",
    "{place}{today}迎来{event}，而{other}要等到{other_future}。",
    "{source}{today}更正说，正在{place}进行的是{event}，并非{other}。",
    "{other}是{other_past}的事了，{today}{at}{held}的是{event}。",
    "{other}还在[筹备|商议]，{event}{today}已在{place}{held}。",
    "{other}要到{other_future}才{held}，{today}先{at}{held}的是{event}。",
)
"""{event} takes place now, {other} does not."""

MISLEADING_PAIRS = (
    "{event}和{other}都没有列入{today}的[日程|安排]。",
    "无论是{event}还是{other}，{today}都[没有|不会]{held}。",
    "{past}，{place}先后办过{event}和{other}。",
    "{event}{off}之后，{other}也随之{off}。",
    "有人说{today}办的是{event}，也有人猜是{other}，其实都不对。",
    "{source}{said}，{event}也好，{other}也罢，都不在{today}的安排之内。",
    "{event}要等到{future}，{other}则早在{other_past}就已[结束|办完]。",
    "海报上写着{event}，广播里说的是{other}，{host}{today}一概否认。",
    "{event}改到{future}，{other}也{other_off}了。",
    "{event}和{other}{today}都没有{at}{held}，[原因不详|原因未作说明]。",
)
"""Neither {event} nor {other} takes place now."""

CLASHES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("{off}", "不再"), ("{future}", "提前")),
    (("{future}",), ("时间表", "是否", "{future}")),
    (("结束", "办完"), ("正在", "现在", "{off}", "{future}", "时间表", "是否")),
    (("提前", "没有等到", "一度{off}"), ("如期", "照常", "准时", "按照")),
    (("一度{off}",), ("没有{off}", "可能{off}", "已经{off}", "一度以为")),
)
"""Of two sentences on the same event, one must not contain a word of the left and the other one of the right."""

ONCE = (
    *("的大门", "的广播", "篇报道", "重头戏", "最受关注", "一度以为", "几经周折", "并不属实", "筹备工作", "来到"),
    *("{trouble}", "也没有", "此前有", "说好", "原本排在", "走进", "家媒体", "的事"),
    *("{host}", "{source}", "{speaker}", "{local}"),
)
"""Words that at most one sentence on an event of the bulletin may contain."""

LATER = ("至于", "相比之下")
"""Beginnings of sentences that need another event before them."""

OPENERS = (
    "本报{city}{date}讯。",
    "本报{city}{date}电。",
    "本报{city}{date}讯，记者{reporter}报道。",
    "本报驻{city}记者{reporter}{date}报道。",
    "记者{reporter}{today}从{city}发回报道。",
    "以下消息由记者{reporter}在{city}采写。",
    "清晨[六点|七点|六点半|七点半]，{city}{place}门前已经有人等候。",
    "{today}，编辑部接到多位读者来电，询问{place}的[活动|日程]。",
    "{city}{today}[格外热闹|和往常一样忙碌]。",
    "[一大早|天刚亮|开门前半小时]，记者{reporter}就来到了{city}{place}。",
    "{city}{place}{today}有[什么新鲜事|什么不一样|哪些活动]？",
    "对{city}来说，这是一个[忙碌|寻常|热闹]的{weekday}。",
    "说起{city}{place}，[当地人都不陌生|许多人都去过]。",
    "{weekday}，{city}{place}门口[人来人往|车流不断]。",
    "{today}，记者{reporter}走访了{city}{place}。",
    "{city}{place}{today}的日程[排得很满|几经变动|并不复杂]。",
    "{city}{place}[近来|这几天][活动不断|备受关注]。",
    "关于{city}{place}{today}的活动，本报[综合|核实]了多方消息。",
)
"""Neutral sentences at the beginning of a bulletin."""

NEUTRAL = (
    "[据{city}气象台介绍|据{city}气象台预报]，{day}最高气温{temperature}度。",
    "预计未来三天{city}以[晴好|多云|阴雨]天气为主，[早晚温差较大|出行请留意天气变化]。",
    "地铁[一|二]号线照常运行，末班车延后半小时。",
    "附近{few}条公交线路临时改道，[次日|散场后]恢复。",
    "周边道路没有封闭，[车辆|行人]照常通行。",
    "{host}提醒，{place}周边停车位有限，[最好|建议]乘坐公共交通。",
    "停车场[早早|很快]就已停满。",
    "停车收费标准没有变化，[头一个小时免费|每小时仍是五元]。",
    "交警在[路口|周边道路]增派了{few}名警力疏导车流。",
    "为方便往返，{host}安排了{few}辆接驳车。",
    "{place}附近的{few}家酒店[已经住满|推出了优惠房价]。",
    "{place}去年[刚刚|]完成修缮，如今面貌一新。",
    "{place}建成已有[二十|三十]多年，是{city}的[地标|老建筑]之一。",
    "{place}最多可容纳[两千五百|三千|四千]人。",
    "去年的[旧横幅|旧展板]已经拆除，换上了新的指示牌。",
    "门口的[告示|公告]说，入场路线没有变化。",
    "主入口不在南门，而在[北门|西门|东侧通道]。",
    "考虑到风力较大，入口处加装了挡风板。",
    "因天气多变，现场备有一次性雨衣。",
    "经核实，先前关于[停电|断水|封路]的{rumour}并不属实。",
    "部分设备没能按时运到，[临时调来备用设备|只好从别处借用]。",
    "现场共设{few}个入口，{crowd}凭[预约码|证件]入场。",
    "{crowd}在[签到处|服务台]排起了长队。",
    "安检[比较严格|十分顺利]，没有发现违禁物品。",
    "寄存处[不收费用|照常开放]，贵重物品须自行保管。",
    "场内禁止吸烟，[也不得携带宠物|大件行李须寄存]。",
    "[二|三|五]十多名工作人员[轮流值守|负责引导]。",
    "医护人员和[保安|消防车]全程待命，没有发生意外。",
    "服务台备有[老花镜|轮椅|急救箱|充电宝]，可免费借用。",
    "[除无障碍通道外|考虑到听障人士]，现场还专门安排了手语翻译。",
    "前排座位留给了[老人和孩子|行动不便的人]。",
    "讲解[分中英两种语言|配有同声传译]，外国来宾也能听懂。",
    "花篮和贺礼一概谢绝，一切从简。",
    "仍有少量名额，有意者可以电话咨询。",
    "开场时间推迟了[十分钟|一刻钟|半小时]，{host}为此致歉。",
    "据统计，[开场前|前一个小时]入场人数超过{many}人。",
    "到场人数比去年[增加|减少]了[一成|两成|近三成]。",
    "现场准备的{many}份[资料|简餐|纪念品]很快发放一空。",
    "餐饮照常供应，[饮水点|休息区]设在{place}东侧。",
    "场馆内的[咖啡厅|书店]照常营业，[价格与平日相同|还有优惠]。",
    "附近的[早餐店|咖啡馆|小卖部]生意[红火|比平时好了一倍]。",
    "原定的发言环节临时取消，改为自由[提问|交流]。",
    "场馆的电梯一度停运，[维修人员|技术人员]很快排除了故障。",
    "现场的无线网络一度中断，[技术人员|工作人员]半小时后修复。",
    "有一名[老人|孩子]走失，[保安|工作人员]很快帮其找到了家人。",
    "一名工作人员捡到[钱包|手机|钥匙]，已经交还失主。",
    "[保洁人员|后勤人员]每隔一小时巡查一次，地面始终整洁。",
    "通道始终畅通，没有出现拥挤。",
    "{crowd}拿出手机[拍照留念|记录下这一刻]。",
    "[几位摄影爱好者|几位路人|路过的游客][停下脚步，拍下了现场画面|也被吸引过来]。",
    "“[气氛很好|准备得很充分|没想到来了这么多人|比想象中顺利]”，{visitor}{said}。",
    "{visitor}{said}，自己[第一次|第三次]来{city}，[对这里印象很好|吃住都很方便]。",
    "{visitor}从[邻市|邻省|外地]赶来，路上花了{hours}。",
    "“[希望以后越办越好|下次还会再来|时间安排得很紧]”，一位姓{surname}的[先生|女士]{said}。",
    "记者随机采访了[三|四|五|六]位到场者，[多数人表示满意|几个人看法不一|大家都说不虚此行]。",
    "有人建议，{place}应当[增设座椅|延长开放时间|改善照明]。",
    "意见箱里收到{few}条建议，[将逐条答复|多与停车和餐饮有关]。",
    "{speaker}婉拒了采访，只说[一切顺利|大家辛苦了]。",
    "这是{speaker}[上任|到岗]以来最忙的一周。",
    "{host}{said}，相关细节还在[完善|核实|商量]。",
    "[详细情况|更多细节|具体数字]将[在明天|在本周内|稍后]公布。",
    "网络直播吸引了[三|八|十二|二十]万人次观看。",
    "相关话题{day}登上[热搜|本地论坛首页]。",
    "当地[晚报|日报]用[整版|头条]作了报道。",
    "{city}广播电台派出[两|三]路记者，[全程跟进|随时连线]。",
    "整个过程[井然有序|紧凑而不拖沓]。",
    "会不会有下一次，负责接待的人没有[正面回答|给出答案]。",
)
"""Neutral sentences in their order in a bulletin. Some use the deciding words of others: 取消, 照常, 不属实."""

CLOSERS = (
    "本报将继续关注。",
    "截至发稿时，{host}没有作出进一步[回应|说明]。",
    "[更多|最新]消息，请留意本报后续报道。",
    "如有[线索|疑问]，读者可拨打本报热线。",
    "欢迎读者来信，谈谈[看法|见闻]。",
    "人群陆续散去，{place}[恢复了平静|又安静下来]。",
    "{place}的灯光直到[深夜|很晚]才熄灭。",
    "散场后，[保洁人员|后勤人员]用了{hours}清理场地。",
    "记者离开时，[后勤人员|有人]正在收拾[桌椅|器材]。",
    "{speaker}最后[感谢了各方的支持|特意提到了幕后人员]。",
    "{visitor}临走时说，[下次还会再来|这一趟没有白跑]。",
    "遗失物品可在[三|五|七]日内到服务台认领。",
    "离场时，{crowd}[仍在热烈议论|互相道别]。",
    "[相关照片|相关视频]已在本报网站刊出。",
    "摄影记者{photographer}对本文亦有贡献。",
    "本文由{editor}[编辑|核校]。",
)
"""Neutral sentences at the end of a bulletin."""
