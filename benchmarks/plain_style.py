"""Style transfer as a script without Lightning would have it: NCHW, one line a formula, nothing shared with ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STYLE, CONTENT = ("relu1_1", "relu2_1", "relu3_1"), "relu3_2"


class PlainStyle:
    """VGG up to relu3_2, the losses, and L-BFGS with one evaluation a step.

    Args:
        weights: of VGG-16 or VGG-19, by torchvision's names.
        content: uint8 (1, 3, H, W).
        style: uint8 (3, h, w).
        size: longer side of the picture.
        content_weight: of the content loss; the style's is 1.
    """

    def __init__(self, weights: Mapping[str, Tensor], content: Tensor, style: Tensor, size: int, content_weight: float):
        self.weights = {name: weight.float() for name, weight in weights.items()}
        self.mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
        self.deviation = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
        self.content, self.content_weight = self.scaled(content, size), content_weight
        with torch.no_grad():
            self.target = self.features(self.content)[CONTENT]
            of_style = self.features(self.scaled(style[None], size))
            self.grams = {name: self.gram(of_style[name]) for name in STYLE}

    def scaled(self, image: Tensor, size: int) -> Tensor:
        factor = size / max(image.shape)
        sides = (round(image.shape[2] * factor), round(image.shape[3] * factor))
        return F.interpolate(image.float(), sides, mode="bilinear", antialias=True)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        found, x = {}, (image - self.mean) / self.deviation
        for stage, places in ((1, (0, 2)), (2, (5, 7)), (3, (10, 12))):
            for number, place in enumerate(places, 1):
                x = F.conv2d(
                    x, self.weights[f"features.{place}.weight"], self.weights[f"features.{place}.bias"], padding=1
                )
                x = F.relu(x)
                found[f"relu{stage}_{number}"] = x
            x = F.avg_pool2d(x, 2) if stage < 3 else x
        return found

    def gram(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,bdhw->bcd", x, x) / (x.shape[2] * x.shape[3])

    def loss(self, image: Tensor) -> Tensor:
        found = self.features(image)
        loss = self.content_weight * (found[CONTENT] - self.target).pow(2).sum() / self.target.pow(2).sum()
        for name, goal in self.grams.items():
            loss = loss + (self.gram(found[name]) - goal).pow(2).sum() / goal.pow(2).sum() / len(STYLE)
        return loss

    def run(self, evaluations: int) -> float:
        """Optimise the picture from the content on; return its loss."""
        picture = nn.Parameter(self.content.clone())
        optimizer = torch.optim.LBFGS([picture], 1, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0)

        def closure() -> float:
            optimizer.zero_grad()
            inside = picture.detach().clamp(0, 255).requires_grad_()
            loss = self.loss(inside)
            loss.backward()
            outside, gradient = picture.detach() - inside.detach(), inside.grad
            assert gradient is not None
            picture.grad = gradient * (gradient * outside >= 0) * 255 * picture.numel()
            return loss.item()

        for _ in range(evaluations):
            optimizer.step(closure)
        with torch.no_grad():
            return float(self.loss(picture.clamp(0, 255)))
