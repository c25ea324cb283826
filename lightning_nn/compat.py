"""Compatibility of a CPU build of torch with the registry's torchvision.

With both installed, torchvision's compiled operators do not load, and `import torchvision`, which torchmetrics does on
import, fails with `operator torchvision::nms does not exist`. This project uses no compiled operator, so declaring
their names is enough. Packages that need Lightning import this module before it.
"""

import importlib.util
from pathlib import Path

import torch


def heal_torchvision() -> bool:
    """Declare the operators that torchvision needs on import, if its compiled ones can't be loaded.

    Returns:
        True if they had to be declared.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    for compiled in Path(spec.origin).parent.glob("_C*"):  # `_C.so`, since torchvision 0.29 `_C_stable.so`
        try:
            torch.ops.load_library(str(compiled))  # type: ignore[no-untyped-call]
            return False
        except OSError:
            continue
    try:
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:  # declared already
        return False
    return True


heal_torchvision()
