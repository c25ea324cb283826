"""The word material of `bulletins`: what the ten categories talk about, and the sentences that carry it.

A sentence is written in a small notation: `[a|b]` is a choice, `{name}` a choice from `SLOTS` or, if it is not there,
a word bound for the whole document (`city`, `date`, `place`, ...) or an event (`event`, `other`). No sentence holds
one of 。！？； before its end, so splitting there gives the sentences back.
"""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """What a category talks about.

    Attributes:
        events: groups of (subjects, kinds); any subject of a group goes with any kind of it: 羽毛球 + 公开赛.
        people: who takes part.
        organisers: who runs it.
    """

    events: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    people: tuple[str, ...]
    organisers: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _topic(people: str, organisers: str, *events: tuple[str, str]) -> Topic:
    groups = tuple((_words(subjects), _words(kinds)) for subjects, kinds in events)
    return Topic(groups, _words(people), _words(organisers))


TOPICS: dict[str, Topic] = {
    "体育": _topic(
        "运动员 职业球员 国家队选手 奥运冠军 教练员 裁判员 球迷 体校学生 业余选手 退役名将",
        "体育局 体育总会 篮球协会 足球俱乐部 田径协会 游泳协会 体育学院 羽毛球协会",
        (
            "羽毛球 乒乓球 男子篮球 女子排球 青年足球 网球 游泳 田径 体操 击剑 射箭 举重 "
            "跆拳道 花样滑冰 短道速滑 柔道 摔跤 赛艇",
            "锦标赛 公开赛 邀请赛 预选赛 半决赛 积分赛 对抗赛 冠军赛",
        ),
        ("马拉松 自行车 铁人三项 长跑 登山 龙舟", "大奖赛 接力赛 巡回赛 排位赛"),
    ),
    "财经": _topic(
        "分析师 股民 基金经理 投资者 董事长 财务总监 经济学家 交易员 审计师 股东代表",
        "证券交易所 证监局 银行业协会 投资银行 会计师事务所 金融监管局 基金公司 资产管理公司",
        (
            "上市公司 商业银行 证券公司 保险公司 期货公司 信托公司 控股集团 民营银行",
            "股东大会 业绩说明会 财报发布会 债权人会议 增资签约仪式",
        ),
        (
            "股票市场 债券市场 外汇市场 期货市场 黄金市场 资本市场 货币市场 跨境贸易 企业融资 普惠金融",
            "投资策略会 形势分析会 风险研讨会 展望论坛 行情通报会",
        ),
    ),
    "房产": _topic(
        "购房者 业主 开发商代表 房产中介 置业顾问 租客 拆迁户 房东 建筑商 物业经理",
        "住建局 房地产协会 地产集团 物业公司 住房公积金中心 不动产登记中心 城建公司 土地储备中心",
        (
            "商品房 精装住宅 公寓 别墅 临街商铺 写字楼 安置房 学区房 经济适用房 人才公寓 共有产权房",
            "开盘仪式 集中认购 摇号选房 交房仪式 样板间开放日 团购会",
        ),
        (
            "住宅用地 商业用地 二手房 房屋租赁 旧房改造 房贷利率 物业收费 楼市调控",
            "拍卖会 推介会 政策说明会 咨询会 价格通报会",
        ),
    ),
    "教育": _topic(
        "班主任 中学生 家长代表 特级教师 校长 新生 毕业生 辅导员 考生 留学生",
        "教育局 师范大学 招生办公室 考试院 实验小学 重点中学 教研室 职业技术学院",
        (
            "小学 初中 高中 幼儿园 职业学校 大学 研究生院 国际学校",
            "开学典礼 毕业典礼 家长会 招生说明会 校庆典礼 教学开放日",
        ),
        (
            "数学 语文 英语 物理 化学 历史 地理 作文 奥数 口语",
            "竞赛 公开课 教研会 观摩课 辅导班 模拟考试",
        ),
    ),
    "科技": _topic(
        "工程师 科学家 院士 程序员 研究员 博士后 算法专家 技术总监 发明家 航天员",
        "科技局 中科院 软件园 国家实验室 航天研究所 互联网企业 半导体企业 工程院",
        (
            "人工智能 工业机器人 芯片 量子计算 无人机 大模型 云计算 半导体 自动驾驶 "
            "传感器 光纤通信 航天卫星 基因测序 操作系统",
            "技术发布会 成果展 研讨会 测试会 专利评审会 应用演示 开发者大会 验收会",
        ),
    ),
    "社会": _topic(
        "居民 志愿者 民警 消防员 环卫工人 快递员 孤寡老人 社区主任 外来务工人员 热心司机",
        "民政局 居委会 派出所 慈善总会 街道办 消防支队 救助站 志愿者协会",
        (
            "社区 小区 邻里 老街坊 城中村 敬老院 流浪儿童 残疾人 困难家庭",
            "爱心义卖 捐赠仪式 纠纷调解会 互助日 联谊会 慰问活动",
        ),
        (
            "消防 防汛 反诈骗 防盗 垃圾分类 文明养犬 噪音治理 交通事故",
            "应急演练 警示会 宣传日 劝导活动 见义勇为表彰会",
        ),
    ),
    "时政": _topic(
        "人大代表 政协委员 市长 书记 外交官 纪检干部 新闻发言人 副省长 大使 公务员",
        "市政府 市委 人大常委会 政协 外交部 国务院 发改委 组织部",
        (
            "立法 财政预算 机构改革 干部任免 廉政建设 行政审批 政府采购 信访工作 五年规划 法治建设",
            "听证会 专题会议 部署会 审议会 工作座谈会 专项督查",
        ),
        (
            "外交 双边 边境 领事 国际合作",
            "会谈 磋商 签字仪式 高级别对话 外长会晤",
        ),
    ),
    "游戏": _topic(
        "玩家 电竞选手 游戏策划 游戏主播 公会会长 测试员 关卡设计师 解说员 战队队长 游戏代练",
        "游戏公司 电竞俱乐部 游戏工作室 网游运营商 玩家公会 电竞联盟 手游平台 主机厂商",
        (
            "手游 网游 主机游戏 角色扮演游戏 卡牌游戏 射击游戏 策略游戏 独立游戏 沙盒游戏 桌游 街机",
            "试玩会 内测活动 首发式 资料片发布会 玩家见面会 新版本展示会",
        ),
        ("电竞 战队 副本 王者 格斗 竞速", "挑战赛 线下赛 联赛 争霸赛"),
    ),
    "娱乐": _topic(
        "歌手 影迷 导演 女演员 编剧 主持人 歌迷 偶像组合 相声演员 制片人",
        "电影公司 唱片公司 电视台 剧组 经纪公司 话剧团 影视基地 歌舞团",
        (
            "电影 电视剧 古装剧 喜剧片 纪录片 动画片 网络剧 悬疑片",
            "首映礼 开机仪式 杀青宴 点映会 主创见面会 颁奖礼",
        ),
        (
            "流行音乐 摇滚 民谣 相声 话剧 歌舞 京剧 脱口秀 音乐剧 选秀",
            "演唱会 专场演出 歌迷会 巡演 彩排",
        ),
    ),
    "健康": _topic(
        "医生 护士 患者 营养师 老中医 药剂师 心理咨询师 慢性病人 孕妇 康复师",
        "卫健委 人民医院 疾控中心 医学会 红十字会 中医院 血液中心 社区卫生服务中心",
        (
            "糖尿病 高血压 口腔 眼科 心血管 骨质疏松 肺结核 颈椎病 哮喘 肿瘤 皮肤病 失眠",
            "义诊 筛查 健康讲座 门诊咨询 康复训练营 病例讨论会",
        ),
        (
            "疫苗 献血 急救 中药 营养膳食 孕期保健 流感预防",
            "科普会 接种日 培训班 体验课 宣讲会",
        ),
    ),
}

SURNAMES = tuple("王李张刘陈杨赵黄周吴徐孙马朱胡郭何林高罗")
GIVEN_NAMES = _words("建国 敏 晓燕 志强 丽华 海涛 静 国庆 文斌 雪梅 明 佳怡 立新 婷婷 永平 红")
CITIES = _words("杭州 南京 成都 武汉 青岛 长沙 厦门 合肥 郑州 昆明 西安 济南 福州 南昌 大连 贵阳 宁波 苏州")
PLACES = _words("会展中心 市民广场 国际会议中心 文化广场 青年宫 工人文化宫 博览中心 滨江公园 综合大楼 多功能厅")

PARTS_OF_DAY = _words("一早 上午 上午 下午 下午 傍晚 晚间")

SLOTS: dict[str, tuple[str, ...]] = {
    "today": _words("今天{half} 今天{half} 今天 {date} {date}{half} 当天"),
    "past": _words("去年 上个月 上周 三年前 前年秋天 去年年底 今年年初 半年前"),
    "future": _words("下个月 下周 明年 下半年 年底 月底 明年春天 下一季度"),
    "held": _words("举行 举行 举办 开始 启动 登场 拉开帷幕 亮相"),
    "off": _words("取消 推迟 延期 顺延 搁置"),
    "crowd": _words("市民 读者 网友 游客 不少人 年轻人 附近的人 排队的人"),
    "many": _words("三百 五百 八百 一千 两千 九百 七百 一百二十 六百"),
    "few": _words("两 三 四 五 六 八 十 十二"),
    "host": _words("主办方 组委会 承办单位 有关部门 相关负责人 工作人员 现场负责人"),
    "said": _words("说 表示 介绍 告诉记者 解释 透露"),
    "trouble": _words("下着小雨 气温骤降 交通不便 场地紧张 时间仓促 雾气很重 经费有限"),
    "scene": (
        "现场来了{many}多人",
        "{many}余人到场",
        "门票早已发完",
        "气氛十分热烈",
        "{few}家媒体到场报道",
        "全程约{few}个小时",
        "秩序良好",
        "{crowd}一早就来排队",
    ),
    "rumour": _words("传闻 说法 消息 猜测 帖子"),
}

PREFIXES = (
    *("", "", "", "", "全市", "全省", "新一轮", "一年一度的", "备受关注的", "筹备多时的", "规模最大的"),
    *("{organiser}主办的", "{organiser}牵头的", "{organiser}发起的", "{organiser}承办的", "{organiser}组织的"),
    *("{person}参加的", "有{person}参加的", "{person}关心的", "面向{person}的"),
)
"""What may stand before an event, of its own category. It never depends on whether the event takes place."""

DECIDING = (
    "{today}，{event}在{place}[正式|如期||]{held}，{scene}。",
    "{event}{today}在{place}{held}，{scene}。",
    "{event}[已|]于{today}在{place}[正式|顺利|]{held}。",
    "经过[两个月|半年|近一年|几轮]的筹备，{event}{today}[终于|]在{place}{held}。",
    "{today}，记者在{place}看到，{event}正在[有序|紧张|热烈]进行。",
    "虽然{trouble}，{event}并没有{off}，{today}[照常|如期]{held}。",
    "{trouble}，但这没有影响{event}，{today}它[照常|如期]在{place}{held}。",
    "此前有{rumour}称{event}可能{off}，但{today}它还是[照常|如期]{held}。",
    "[被|将被]{off}的{rumour}并不属实，{event}{today}[照常|如期]在{place}{held}。",
    "{crowd}一度以为{event}要{off}，结果{today}它准时{held}。",
    "{today}[最受关注的|的重头戏|的主角|的焦点]，是在{place}{held}的{event}。",
    "[等候多时|期待已久|几经周折]，{event}{today}终于在{place}{held}。",
    "{name}{today}在{place}宣布，{event}[正式开始|现在开始]。",
    "在{place}，{crowd}{today}见证了{event}的[全过程|开场|启动]。",
    "{event}{today}在{place}[圆满|顺利]落幕，{scene}。",
    "[不出所料|果然|按照计划|按照日程]，{event}{today}在{place}{held}。",
    "[值得一提的是|记者了解到|据了解]，{event}{today}[首次|再次]在{place}{held}。",
    "没有{off}，也没有[改址|换人|缩短时间]，{event}{today}[准时|如期]{held}。",
    "{name}没有缺席，{today}[按时|准时]来到{place}[参加|出席]{event}。",
    "{host}{today}证实，{event}没有{off}，[眼下|此刻]正在{place}进行。",
    "说好{future}才办的{event}，{today}提前在{place}{held}。",
    "{event}原本排在{future}，如今提前到{today}，[已经|]在{place}{held}。",
    "推迟了[两次|一周|一个月]的{event}，{today}终于[没有再|不再]{off}，顺利{held}。",
    "不是{past}，也不是{future}，{event}就在{today}{held}。",
    "{today}，{crowd}走进{place}，为的[就是|正是][眼前的|正在进行的|]{event}。",
    "本次[活动|报道]的主题就是{event}，{today}{scene}。",
    "{host}{said}，{event}{today}[已经|]{held}，{scene}。",
    "随着{name}一声令下，{event}{today}在{place}{held}。",
)
"""{event} takes place now: the bulletin is about it."""

MISLEADING = (
    "原定于{today}{held}的{event}[已经|临时|突然]{off}。",
    "{event}原定{today}在{place}{held}，[后来|最终|日前]{off}。",
    "这与此前传闻的{event}[并无|没有任何|毫无]关系。",
    "网上流传的{event}[纯属|只是]误传，{host}{today}予以否认。",
    "至于{event}，[目前还没有时间表|要等到{future}|{host}尚未松口]。",
    "如果[天气转好|资金到位|审批通过|一切顺利]，{event}[有望|或将]于{future}在{place}{held}。",
    "{past}在{place}{held}的{event}，至今仍是{crowd}的[谈资|话题]。",
    "{place}的大屏幕上，[反复|正]播放着{event}的[广告|宣传片]。",
    "{crowd}误以为{today}[举行的|在{place}举办的]是{event}，[白跑了一趟|到场才知道弄错了]。",
    "{event}不在{today}的[安排|日程|计划]之列。",
    "{name}[回忆|笑言]，上一次来{place}还是为了{past}的{event}。",
    "{today}没有{event}，{place}[显得|]比往常安静。",
    "{past}，{event}[曾|也曾]在{place}{held}，{scene}。",
    "{event}{past}已在{place}[圆满|顺利]落幕，{scene}。",
    "按照[计划|日程]，{event}要到{future}才会在{place}{held}。",
    "{event}的海报还贴在门口，不过那是{past}的事。",
    "有人把它当成{event}，其实是[一场误会|张冠李戴]。",
    "假如当初选的是{event}，{name}{said}，结果也许不同。",
    "{name}本来要去[参加|看]{event}，[后来|临时]改变了主意。",
    "此前有{rumour}称{event}将[照常|如期]{held}，但{today}它还是{off}了。",
    "{event}[照常|如期]{held}的{rumour}并不属实，{today}它已被{off}。",
    "{crowd}一度以为{event}能准时{held}，结果{today}它{off}了。",
    "[等候多时|期待已久|几经周折]，{event}{today}终究没有在{place}{held}。",
    "{name}{today}在{place}宣布，{event}[暂不|不再|不会]{held}。",
    "没有预告，也没有[解释|说明]，{event}{today}没有[照常|如期|准时]{held}。",
    "{host}{today}证实，{event}没有{held}，[眼下|此刻]仍在商议。",
    "说好{today}办的{event}，要到{future}才在{place}{held}。",
    "{event}原本排在{today}，如今推迟到{future}，[已经通知各方|各方均已接到通知]。",
    "因为{trouble}，{event}没能[照常|如期]{held}，{today}{off}。",
    "{today}[最受关注的|的重头戏|的主角|的焦点]，并不是{event}。",
    "{name}手里的旧日程表上印着{event}，日期却是{past}。",
    "本次[活动|报道]的主题并非{event}，{host}{today}作了[说明|更正]。",
    "[另据了解|另外]，{event}改到{future}，[具体时间另行通知|门票可以退]。",
    "围绕{event}的{rumour}，{host}{today}不予置评。",
    "{crowd}走进{place}，问起{event}，得到的回答是{today}不办。",
    "相比之下，外地{past}{held}的{event}[冷清|热闹]得多。",
    "{host}{said}，{event}{today}[并未|没有]{held}，请大家不要轻信。",
)
"""{event} is cancelled, past, planned, rumoured, advertised or denied: the bulletin is about something else."""

DECIDING_PAIRS = (
    "{today}在{place}{held}的不是{other}，而是{event}。",
    "{today}在{place}{held}的是{event}，而不是{other}。",
    "{other}[临时|]{off}，{today}在{place}{held}的[改为|是]{event}。",
    "{event}{today}[照常|如期]{held}，{other}则[{off}|另行安排]。",
    "{other}没有[照常|如期]{held}，{event}{today}倒是没有{off}。",
    "{crowd}本以为{today}会看到{other}，来到{place}才发现是{event}。",
    "和{past}的{other}不同，{today}在{place}{held}的是{event}。",
    "{place}{today}迎来{event}，而{other}要等到{future}。",
    "{host}{today}更正，正在{place}进行的是{event}，并非{other}。",
    "{other}是{past}的事了，{today}在{place}{held}的是{event}。",
)
"""{event} takes place now, {other} does not."""

MISLEADING_PAIRS = (
    "{event}和{other}都没有列入{today}的[日程|安排]。",
    "无论是{event}还是{other}，{today}都[没有|不会]{held}。",
    "{past}，{place}先后办过{event}和{other}。",
    "{event}{off}之后，{other}也随之{off}。",
    "有人说是{event}，也有人猜是{other}，其实都不对。",
    "{name}{said}，{event}也好，{other}也罢，都与{today}无关。",
    "{event}要等到{future}，{other}则早在{past}就已[落幕|办完]。",
    "海报上写着{event}，广播里说的是{other}，{host}{today}一概否认。",
)
"""Neither {event} nor {other} takes place now."""

OPENERS = (
    "本报{city}{date}讯。",
    "本报{city}{date}讯，记者{reporter}报道。",
    "记者{reporter}{today}从{city}发回报道。",
    "{date}，{city}[多云|晴间多云|小雨转阴|有薄雾|艳阳高照]。",
    "清晨[六点|七点|六点半|七点半]，{place}门前已经排起了长队。",
    "{today}，编辑部接到多位读者来电。",
    "{city}{today}[格外热闹|和往常一样忙碌|迎来难得的好天气]。",
    "[一大早|天刚亮|午饭刚过]，记者{reporter}就来到了{place}。",
    "{place}{today}有[什么新鲜事|什么不一样]？",
    "对{city}来说，这是一个[忙碌|寻常|难得清闲]的{weekday}。",
)
"""Neutral, at the head of a bulletin."""

NEUTRAL = (
    "{city}气象台{said}，{today}最高气温[十二|十八|二十三|二十七|三十]度。",
    "预计未来三天{city}以[晴|多云|阴雨]天气为主，早晚温差较大。",
    "一场小雨过后，{place}周围的空气清新了许多。",
    "风力[较大|不大|逐渐减弱]，{host}在入口处加装了挡风板。",
    "地铁[二|三|五|六]号线照常运行，末班车延长半小时。",
    "附近{few}条公交线路临时改道，[次日|晚间]恢复。",
    "停车场[不到九点|一早|十点前]就已停满。",
    "{host}提醒，{place}周边停车位有限，[最好|建议]乘坐公共交通。",
    "交警在[路口|周边道路]增派了{few}名警力疏导车流。",
    "据统计，[全天|上午|前两个小时]入场人数超过{many}人。",
    "到场人数比去年[增加|减少]了[一成|两成|近三成]。",
    "现场共设{few}个入口，{crowd}凭[预约码|证件]进入。",
    "[二|三|五]十多名工作人员[从早忙到晚|轮流值守|负责引导]。",
    "{crowd}在[签到处|服务台|门口]排起了长队。",
    "{host}准备了{many}份[资料|午餐|纪念品]，很快发放一空。",
    "“[气氛很好|准备得很充分|没想到来了这么多人|比想象中顺利]”，{name}{said}。",
    "{name}{said}，自己[第一次|第三次|专程]来{city}。",
    "“[希望以后越办越好|下次还会再来|时间安排得很紧]”，一位姓{surname}的先生{said}。",
    "记者随机采访了{few}位到场者，[多数人表示满意|看法不一|大家都说不虚此行]。",
    "{name}从[外地|邻市|郊区]赶来，路上花了{few}个小时。",
    "{host}{said}，相关细节还在[完善|核实|商量]。",
    "[详细情况|更多细节|具体数字]将在[明天|本周内|稍后]公布。",
    "原定的发言环节临时取消，改为自由[提问|交流]。",
    "开场时间推迟了[十分钟|一刻钟|半小时]，{host}为此致歉。",
    "午餐照常供应，[饮水点|休息区]设在{place}东侧。",
    "先前关于[停电|断水|封路]的{rumour}并不属实，{host}予以否认。",
    "门口的[告示|公告]说，参观路线没有变化。",
    "入口不在南门，而在[北门|西门|东侧通道]。",
    "去年的[旧横幅|旧展板]已经拆除，换上了新的指示牌。",
    "{place}去年[刚刚|]完成修缮，如今面貌一新。",
    "{place}建成已有[十|二十|三十]多年，是{city}的[地标|老建筑]之一。",
    "{place}占地[两|五|八]万平方米，可容纳{many}人。",
    "安检[比较严格|十分顺利]，没有发现违禁物品。",
    "医护人员和[保安|消防车]全程待命，没有发生意外。",
    "有一名[老人|孩子]走失，{host}很快帮其找到了家人。",
    "现场的无线网络一度中断，[技术人员|工作人员]半小时后修复。",
    "因为{trouble}，部分设备[没能按时|晚些时候才]运到。",
    "直播画面{today}吸引了[三|八|十二|二十]万人次[观看|点击]。",
    "相关话题{today}登上[热搜|本地论坛首页]。",
    "{crowd}拿出手机[拍照留念|记录下这一刻]。",
    "[几位摄影爱好者|邻居们|路过的游客]也[停下脚步|前来凑热闹]。",
    "收费标准[与去年持平|没有变化|略有下调]，学生和老人半价。",
    "剩余名额[不多|还有{few}个]，{crowd}可以电话咨询。",
    "当地媒体用[整版|头条]作了报道。",
    "附近的[早餐店|咖啡馆|小卖部]生意[红火|比平时好了一倍]。",
    "{host}还专门安排了手语翻译和无障碍通道。",
    "散场后，[志愿人员|清洁人员]用了{few}个小时清理场地。",
    "{name}在[总结|致辞]时，[感谢了各方的支持|特意提到了幕后人员]。",
    "整个过程[井然有序|紧凑而不拖沓|没有出现差错]。",
    "如果下雨，{host}会发放一次性雨衣。",
    "这是{name}[上任|入职|搬到{city}]以来最忙的一周。",
    "会不会有下一次，{host}没有[正面回答|给出答案]。",
)
"""Neutral, anywhere. Some use the words that settle other sentences: 取消, 照常, 不属实."""

CLOSERS = (
    "本报将继续关注。",
    "截至发稿时，{host}没有作出进一步[回应|说明]。",
    "[更多|最新]消息，请留意本报后续报道。",
    "记者{reporter}，{city}报道。",
    "如有[线索|疑问]，读者可拨打本报热线。",
    "[夜色渐深|天色渐暗|傍晚时分]，{crowd}陆续散去。",
    "{place}的灯光直到[深夜|九点|十点]才熄灭。",
    "摄影记者{reporter}对本文亦有贡献。",
)
"""Neutral, at the end of a bulletin."""
