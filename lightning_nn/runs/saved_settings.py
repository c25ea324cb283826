"""The trust boundary: the settings of a checkpoint, or of the config.yaml in its run's folder, that are used.

Both files are untrusted, and a parser of settings makes objects of whatever classes they name. So their values reach a
parser or a constructor only through `trusted`, which accepts an option if its name is on a list and its value passes
that name's check. A value that passes is a number, a flag, one of several names, a text, or a list or dictionary of
these; none names a class. A file that the user names with `-c` is trusted, and is not read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml

from lightning_nn.errors import UserError
from lightning_nn.sanitize import sanitize, shorten

# Options that name files; these are only read.
PATHS = ("data.path", "data.images", "data.vocabulary.user_dict", "data.vectors", "data.content", "data.style")

NAMES = ("model_name", "data_name")  # in a config.yaml beside the settings; the checkpoint itself has both

_LONGEST = 4096  # characters of a text
_LARGEST = 1_000_000  # characters of a config.yaml
_SHOWN = 8  # names of options in an error, at most
_NO_NAME = re.compile("[\\0\ud800-\udc7f\udd00-\udfff]")  # characters that no file name can have

_Count = Literal["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"]
_AMOUNT = rf"'(?:{'|'.join(get_args(_Count))})': \d{{1,9}}"
_DURATION = (  # jsonargparse may write the dictionary as a text
    dict[_Count, int],
    re.compile(rf"\d{{1,9}}:\d\d:\d\d:\d\d|\{{{_AMOUNT}(?:, {_AMOUNT})*\}}"),
)
_Precision = Literal[
    16, 32, 64, "16", "32", "64", "bf16", "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true",
    "transformer-engine", "transformer-engine-float16",
]  # fmt: skip
_WORKERS = r"(?:_spawn|_fork|_notebook)?(?:_find_unused_parameters_(?:true|false))?"
_STRATEGY = re.compile(
    rf"auto|ddp{_WORKERS}|fsdp(?:_cpu_offload)?|single_device|single_xla|single_tpu|xla(?:_debug)?"
    r"|deepspeed(?:_stage_[123])?(?:_offload)?(?:_nvme)?"
)
_NOTHING = (None, list[NoReturn])
_WHOLE, _NUMBER, _FLAG = int | None, int | float | None, bool | None

# The trainer's options, each with the type or pattern of its value, or several of these. Options whose values are
# objects, and those of folders and registries, which would be written to, must be empty.
TRAINER: dict[str, Any] = {
    **dict.fromkeys(("max_epochs", "min_epochs", "max_steps", "min_steps", "num_nodes"), _WHOLE),
    **dict.fromkeys(("check_val_every_n_epoch", "num_sanity_val_steps", "log_every_n_steps"), _WHOLE),
    **dict.fromkeys(("accumulate_grad_batches", "reload_dataloaders_every_n_epochs"), _WHOLE),
    **dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches"), _NUMBER),
    **dict.fromkeys(("limit_predict_batches", "overfit_batches", "gradient_clip_val"), _NUMBER),
    **dict.fromkeys(("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "barebones"), _FLAG),
    **dict.fromkeys(("benchmark", "inference_mode", "use_distributed_sampler", "detect_anomaly"), _FLAG),
    **dict.fromkeys(("sync_batchnorm", "enable_autolog_hparams", "logger"), _FLAG),
    **dict.fromkeys(("callbacks", "plugins", "default_root_dir", "model_registry"), _NOTHING),
    "accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"],
    "deterministic": bool | Literal["warn"] | None,
    "devices": (int, list[int], re.compile(r"auto|-?\d{1,4}(?:,\d{1,4})*,?")),
    "fast_dev_run": int | bool,
    "gradient_clip_algorithm": Literal["norm", "value"] | None,
    "max_time": (None, *_DURATION),
    "precision": _Precision | None,
    "profiler": Literal["simple", "advanced", "pytorch"] | None,
    "strategy": _STRATEGY,
    "val_check_interval": (_NUMBER, *_DURATION),
}

# Other options whose texts are more than a name to compare with.
_TEXTS = {"data.encoding": re.compile(r"[\w-]{1,40}", re.ASCII)}


class Saved(NamedTuple):
    """Settings from untrusted files, after the check.

    Attributes:
        taken: accepted values, which may go to a parser, by dotted name.
        left_out: names of rejected options, made safe to show.
    """

    taken: dict[str, Any]
    left_out: list[str]

    def group(self, name: str) -> dict[str, Any]:
        """Return the accepted values of a group by the names within it, those of a group in it as a dictionary."""
        values: dict[str, Any] = {}
        for key, value in self.taken.items():
            group, _, option = key.partition(".")
            if group == name and option:
                inner, dot, last = option.partition(".")
                if dot:
                    values.setdefault(inner, {})[last] = value
                else:
                    values[option] = value
        return values


def trusted(
    sources: Iterable[Mapping[Any, Any]], classes: Mapping[str, type], trainer: Mapping[str, Any] | None = None
) -> Saved:
    """Check the settings of untrusted files; a later file overrides an earlier one.

    Args:
        sources: content of each file: groups of options, or options by dotted name, or anything at all.
        classes: for each group but the trainer's, the class whose constructor's parameters are its options; each must
            have a type of plain data.
        trainer: the trainer's options with their built-in values; an option with its built-in value is dropped without
            remark if its check refuses it. None accepts no option of the trainer, and no seed.
    """
    checks: dict[str, Any] = {
        f"{group}.{name}": kind for group, cls in classes.items() for name, kind in _types(cls).items()
    }
    nested = {name: kind for name, kind in checks.items() if isinstance(kind, type) and is_dataclass(kind)}
    checks |= {f"{group}.{name}": kind for group, cls in nested.items() for name, kind in _types(cls).items()}
    checks |= {name: kind for name, kind in _TEXTS.items() if name in checks}
    if trainer is not None:
        checks |= {"seed_everything": (bool, int), **{f"trainer.{name}": kind for name, kind in TRAINER.items()}}
    built_in = {f"trainer.{name}": value for name, value in (trainer or {}).items()}
    said: dict[str, Any] = {}
    for source in sources:
        said.update(_by_name(_by_name(source, {*classes, "trainer"}), {*nested}))
    taken, left_out = {}, []
    for name, value in said.items():
        if name in NAMES:
            continue
        if name in checks and _fits(value, checks[name]):
            taken[name] = value
        elif not (name in built_in and _fits(value, bool | _NUMBER | str) and value == built_in[name]):
            left_out.append(shown(name))
    return Saved(taken, list(dict.fromkeys(left_out)))


def read_config(text: str, where: str) -> dict[Any, Any]:
    """Parse a config.yaml to plain data; its values are not checked.

    Args:
        text: content of the file.
        where: name of the file in errors.

    Raises:
        UserError: the text is damaged, too long, or holds more than plain data.
    """
    try:
        config = yaml.safe_load(text) if len(text) <= _LARGEST else None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError, AttributeError):
        config = None
    if not isinstance(config, dict) and text.strip():
        raise UserError(f"{where} is damaged: expected settings by group, as plain data")
    return config or {}


def names(options: list[str]) -> str:
    """Join names of options, tensors or files to a line of bounded length."""
    more = f" and {len(options) - _SHOWN:,} more" if len(options) > _SHOWN else ""
    return ", ".join(map(shown, options[:_SHOWN])) + more


def overlap(option: str, other: str) -> bool:
    """Return whether two dotted names are equal, or one is a group that holds the other."""
    return f"{option}.".startswith(f"{other}.") or f"{other}.".startswith(f"{option}.")


def _by_name(source: Mapping[Any, Any], groups: set[str]) -> dict[str, Any]:
    """Flatten groups to options by dotted name; a group's value that is no dictionary keeps the group's name."""
    settings: dict[str, Any] = {}
    for group, values in source.items():
        head = _text(group)
        if head in groups and isinstance(values, dict):
            settings.update({f"{head}.{_text(name)}": value for name, value in values.items()})
        elif values is not None or head not in groups:
            settings[head] = values
    return settings


def _text(key: object) -> str:
    return key if isinstance(key, str) else f"({type(key).__name__})"


def shown(name: str) -> str:
    """Make the name of an option or tensor safe to show, and truncate a long one."""
    return shorten(sanitize(name[:200]), 60)


def parameters(cls: type) -> dict[str, Parameter]:
    """Return the parameters of a constructor by name, those of its base class too where it has `**`.

    Their annotations are types, Any where there is none.
    """
    named: dict[str, Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        hints, (_, *rest) = get_type_hints(base.__init__), signature(base.__init__).parameters.values()  # type: ignore[misc]
        for parameter in rest:
            if parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                named.setdefault(parameter.name, parameter.replace(annotation=hints.get(parameter.name, Any)))
        if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in rest):
            break
    return named


def _types(cls: type) -> dict[str, Any]:
    return {name: parameter.annotation for name, parameter in parameters(cls).items()}


def _fits(value: object, kind: Any) -> bool:
    """Return whether a value is plain data of a type; recursion is as deep as the type, however deep the value is.

    Args:
        value: from a file.
        kind: a type, a pattern that a text must match as a whole, or a tuple of these, of which one must fit. Nothing
            fits a type that is not plain data, such as a class; only flags, numbers and None fit Any, because no
            parser reads a class from them.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, tuple) or origin in (Union, UnionType):
        return any(_fits(value, one) for one in (kind if isinstance(kind, tuple) else inner))
    if isinstance(kind, re.Pattern):
        return type(value) is str and len(value) <= _LONGEST and kind.fullmatch(value) is not None
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inner)
    if origin is list:
        return type(value) is list and all(_fits(item, inner[0]) for item in value)
    if origin is dict:
        return type(value) is dict and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if kind is Any:
        return _fits(value, bool | _NUMBER)
    if kind is str:
        return type(value) is str and len(value) <= _LONGEST and _NO_NAME.search(value) is None
    if kind is int or (kind is float and type(value) is int):
        return type(value) is int and -(2**63) <= value < 2**63
    return kind in (None, NoneType, bool, float) and type(value) is (NoneType if kind is None else kind)
