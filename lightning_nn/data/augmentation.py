"""Random changes of training images: once a batch, different for each image, on the device, the same for its mask.

What is drawn depends on the place of the batch in the run alone, so a resumed run sees the same images. All changes of
geometry compose to one sampling step; flips and shifts by whole pixels alone are indexed instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn.data.batches import IGNORED, Origin
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.images import fractions
from lightning_nn.layers.style import YIQ

GRAY = 128  # of 255
_STREAM = 1  # the step's own seed, for dropout, is stream 0


@dataclass(frozen=True)
class Augment:
    """Random changes of training images; those of validation and test are never changed.

    Args:
        flip: mirror left and right. random: half of the images. alternate: each image in every other epoch, half of
            them in the first (Jordan 2024, arXiv:2404.00498). none: no image.
        translate: largest shift to each side, in whole pixels.
        crop: smallest share of the area that is kept, above 0; what is kept is scaled up to the full size. 1: all.
        stretch: largest factor between width and height, 1 or above.
        rotate: largest angle to either side, in degrees.
        shear: largest slant to either side, in degrees, below 90.
        perspective: largest difference in distance between opposite sides, 0 or above and below 1.
        scale: largest factor by which objects grow or shrink, 1 or above.
        border: beyond the border: reflect, the mirrored image; black, where masks are ignored.
        window: side of the square that is trained on, at a random place of the changed image, in pixels; 0: all of it.
            For images with masks.
        cutout: side of a square that is painted gray, in pixels (DeVries and Taylor 2017); 0: none.
        brightness: largest change of the factor 1, 0 to 1.
        contrast: largest change of the factor 1, 0 to 1.
        saturation: largest change of the factor 1, 0 to 1; for colour images.
        hue: largest turn of the colour circle to either side, 0 to 0.5; for colour images.
        mixup: images and labels are mixed with the next in the batch, by a share from Beta(mixup, mixup) (Zhang et al.
            2018); 0: none.
    """

    flip: Literal["none", "random", "alternate"] = "none"
    translate: int = 0
    crop: float = 1.0
    stretch: float = 1.0
    rotate: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    scale: float = 1.0
    border: Border = "reflect"
    window: int = 0
    cutout: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    mixup: float = 0.0

    @classmethod
    def of(cls, options: Augment | dict[str, Any]) -> Augment:
        """Make options from a dictionary, as a file of settings has them.

        Raises:
            UserError: a value is out of its range.
        """
        made = options if isinstance(options, Augment) else cls(**options)
        made.check()
        return made

    @property
    def is_on(self) -> bool:
        """True if anything is changed."""
        return self != Augment(border=self.border)

    def check(self) -> None:
        """Check the options.

        Raises:
            UserError: a value is out of its range.
        """
        choose("--data.augment.flip", self.flip, Literal["none", "random", "alternate"])
        choose("--data.augment.border", self.border, Border)
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not (least <= value <= most):
                below = f"{least:g} to {most:g}" if most < math.inf else f"{least:g} or above"
                raise UserError(f"--data.augment.{name} is {value}; it must be {below}")

    def check_channels(self, channels: int) -> None:
        """Refuse changes of colour for gray images.

        Raises:
            UserError: the images have no colour.
        """
        for name in ("saturation", "hue"):
            if getattr(self, name) and channels != 3:
                raise UserError(f"--data.augment.{name} is for colour images; these have {channels} channel")


NO_AUGMENT = Augment()

_RANGES = {
    "translate": (0, math.inf),
    "crop": (0.01, 1),
    "stretch": (1, 100),
    "rotate": (0, 180),
    "shear": (0, 89),
    "perspective": (0, 0.99),
    "scale": (1, 100),
    "window": (0, math.inf),
    "cutout": (0, math.inf),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "hue": (0, 0.5),
    "mixup": (0, math.inf),
}


def augmented(batch: Any, options: Augment, num_classes: int | None = None) -> Any:
    """Change the images of a batch, and their masks and labels with them.

    Args:
        batch: ImageBatch or MaskBatch, as a `Loader` yields it, on any device.
        options: the changes.
        num_classes: number of classes, for mixup.

    Raises:
        UserError: the batch doesn't come from a `Loader`, or mixup is to mix masks, or a window to
            be taken of images without.
    """
    if batch.origin is None:
        raise UserError("augmentation needs batches of the data module's own loader, which number them")
    draw = _Draw(batch, batch.origin)
    batch = _move(batch, options, draw)
    if options.window:
        batch = _window(batch, options.window, draw)
    if options.cutout:
        batch = _cut_out(batch, options.cutout, draw)
    changes = {
        name: draw.around(1.0, most)
        for name in ("brightness", "contrast", "saturation")
        if (most := getattr(options, name))
    }
    if options.hue:
        changes["hue"] = draw.around(0.0, options.hue)
    if changes:
        batch = batch._replace(image=change_colours(batch.image, **changes))
    return _mix(batch, options.mixup, num_classes, draw) if options.mixup else batch


class _Draw:
    """Random numbers for the images of a batch, on their device."""

    def __init__(self, batch: Any, origin: Origin) -> None:
        self.size, self.device, self.origin = batch.size, batch.image.device, origin
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(origin.random_seed(_STREAM))

    def around(self, middle: float, most: float) -> Tensor:
        """Draw evenly from middle - most to middle + most, (B,)."""
        return middle + most * (2 * torch.rand(self.size, generator=self.generator, device=self.device) - 1)

    def factor(self, most: float) -> Tensor:
        """Draw factors from 1 / most to most, (B,), a factor as often as its inverse."""
        return self.around(0.0, math.log(most)).exp()

    def whole(self, most: int) -> Tensor:
        """Draw whole numbers from -most to most, int64 (B,)."""
        return torch.randint(-most, most + 1, (self.size,), generator=self.generator, device=self.device)


def _mirrored(batch: Any, flip: str, draw: _Draw) -> Tensor | None:
    """Choose the images to mirror, bool (B,); None for none."""
    if flip == "random":
        return draw.around(0.0, 1.0) < 0
    if flip == "alternate":
        mixed = (batch.index + draw.origin.seed) * -7046029254386353131  # 2^64 / golden ratio: as good as a coin
        return ((mixed >> 40) + draw.origin.epoch) % 2 == 1
    return None


def _move(batch: Any, options: Augment, draw: _Draw) -> Any:
    """Change the geometry of images and masks."""
    mirrored = _mirrored(batch, options.flip, draw)
    dx, dy = draw.whole(options.translate), draw.whole(options.translate)
    mask = getattr(batch, "mask", None)
    if all(getattr(options, name) == getattr(NO_AUGMENT, name) for name in _SAMPLED):
        if mirrored is None and not options.translate:
            return batch
        batch = batch._replace(image=shift(batch.image, dx, dy, mirrored, options.border))
        if mask is not None:
            batch = batch._replace(mask=shift(mask, dx, dy, mirrored, options.border, fill=IGNORED))
        return batch
    places = _places(batch.image, options, draw)
    if mirrored is not None:
        places = matrix(draw.size, draw.device, xx=1.0 - 2.0 * mirrored) @ places
    places = places @ matrix(draw.size, draw.device, x1=-dx.float(), y1=-dy.float())
    batch = batch._replace(image=sample(batch.image, places, options.border))
    return batch if mask is None else batch._replace(mask=sample_mask(mask, places, options.border))


_SAMPLED = ("crop", "stretch", "rotate", "shear", "perspective", "scale")


def _places(image: Tensor, options: Augment, draw: _Draw) -> Tensor:
    """Compose all changes that need sampling to matrices (B, 3, 3)."""
    height, width = image.shape[2:]
    count, device = draw.size, draw.device
    places = matrix(count, device)
    if options.crop < 1:
        side = (0.5 * (1 + options.crop) + draw.around(0.0, 0.5 * (1 - options.crop))).sqrt()  # even in area
        x, y = (draw.around(0.0, 0.5) * (1 - side) * size for size in (width, height))
        places = places @ matrix(count, device, xx=side, yy=side, x1=x, y1=y)
    if options.scale > 1:
        zoom = draw.factor(options.scale)
        places = places @ matrix(count, device, xx=1 / zoom, yy=1 / zoom)
    if options.stretch > 1:
        root = draw.factor(options.stretch).sqrt()
        places = places @ matrix(count, device, xx=1 / root, yy=root)
    if options.rotate:
        places = places @ rotation(draw.around(0.0, options.rotate))
    if options.shear:
        slant = (draw.around(0.0, options.shear) * (math.pi / 180)).tan()
        places = places @ matrix(count, device, xy=slant)
    if options.perspective:
        x, y = (draw.around(0.0, options.perspective) / size for size in (width, height))
        places = places @ matrix(count, device, **{"1x": x, "1y": y})
    return places


def _window(batch: Any, side: int, draw: _Draw) -> Any:
    """Take a square of each image and of its mask, or what there is of it in a smaller image."""
    if getattr(batch, "mask", None) is None:
        raise UserError("--data.augment.window is for images with masks; leave it out, or use --data.augment.crop")
    of = torch.arange(draw.size, device=draw.device)[:, None, None]
    y, x = (_places_of_window(size, side, draw) for size in batch.image.shape[2:])
    y, x = y[:, :, None], x[:, None]
    return batch._replace(image=batch.image[of, :, y, x].permute(0, 3, 1, 2), mask=batch.mask[of, y, x])


def _places_of_window(size: int, side: int, draw: _Draw) -> Tensor:
    free = max(size - side, 0)
    start = (draw.around(0.5, 0.5) * (free + 1)).long().clamp(max=free)
    return start[:, None] + torch.arange(min(side, size), device=draw.device)  # (B, side)


def _cut_out(batch: Any, side: int, draw: _Draw) -> Any:
    """Paint a square of each image gray; its centre is anywhere within the image."""
    inside = torch.ones(1, dtype=torch.bool, device=draw.device)
    for size, view in zip(batch.image.shape[2:], ((-1, 1), (1, -1)), strict=True):
        start = ((draw.around(0.5, 0.5) * size).long() - side // 2)[:, None]
        at = torch.arange(size, device=draw.device)
        inside = inside & ((at >= start) & (at < start + side)).view(draw.size, *view)
    gray = GRAY / 255 if batch.image.is_floating_point() else GRAY
    batch = batch._replace(image=batch.image.masked_fill(inside[:, None], gray))
    mask = getattr(batch, "mask", None)
    return batch if mask is None else batch._replace(mask=mask.masked_fill(inside, IGNORED))


def _mix(batch: Any, alpha: float, num_classes: int | None, draw: _Draw) -> Any:
    """Mix each image and its label with the next one's."""
    if num_classes is None or getattr(batch, "label", None) is None:
        raise UserError("--data.augment.mixup mixes labels of classes, which these images don't have; leave it out")
    random = np.random.default_rng(draw.origin.random_seed(_STREAM))  # torch's Beta takes no generator
    share = torch.from_numpy(random.beta(alpha, alpha, draw.size)).to(draw.device, torch.float32)
    share = torch.maximum(share, 1 - share)[:, None]
    image = fractions(batch.image)
    label = batch.label if batch.label.is_floating_point() else F.one_hot(batch.label, num_classes).float()
    of_image = share[:, :, None, None].to(image.dtype)
    image = of_image * image + (1 - of_image) * image.roll(-1, 0)
    return batch._replace(image=image, label=share * label + (1 - share) * label.roll(-1, 0))


Border = Literal["reflect", "black"]


def matrix(count: int, device: torch.device, **entries: Tensor) -> Tensor:
    """Make matrices (B, 3, 3) that are the identity but for some entries.

    Args:
        count: number of matrices, B.
        device: of the result.
        entries: (B,) each, by name: `xy` is how much of y is in the new x, `x1` what is added to x, `1x` the
            perspective along x.
    """
    made = torch.eye(3, device=device).repeat(count, 1, 1)
    for name, values in entries.items():
        made[:, "xy1".index(name[0]), "xy1".index(name[1])] = values
    return made


def rotation(degrees: Tensor) -> Tensor:
    """Turn images counterclockwise by (B,) degrees; return matrices (B, 3, 3)."""
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return matrix(len(degrees), degrees.device, xx=cos, xy=-sin, yx=sin, yy=cos)


def sample(image: Tensor, places: Tensor, border: Border) -> Tensor:
    """Sample images bilinearly at the places that matrices say.

    Args:
        image: uint8 or float (B, C, H, W).
        places: (B, 3, 3), from new to old.
        border: what is beyond the border: reflect, the image mirrored at its outermost pixels; black.

    Returns:
        float32 (B, C, H, W), 0 to 1, or float64 if the image is.
    """
    return _sample(fractions(image), places, border, "bilinear")


def sample_mask(mask: Tensor, places: Tensor, border: Border) -> Tensor:
    """Sample masks at the same places; each new pixel takes the class of the nearest old one.

    Args:
        mask: uint8 (B, H, W).
        places: (B, 3, 3), from new to old.
        border: as for the images; beyond a black one pixels are ignored, 255.

    Returns:
        uint8 (B, H, W).
    """
    classes = _sample(mask[:, None].float() - IGNORED, places, border, "nearest")  # beyond a black border: 0
    return (classes + IGNORED).round().to(torch.uint8)[:, 0]


def _sample(image: Tensor, places: Tensor, border: Border, mode: str) -> Tensor:
    height, width = image.shape[2:]
    image = image if image.dtype == torch.float64 else image.float()
    half = places.new_tensor([(width - 1) / 2, (height - 1) / 2])
    rows, columns = torch.arange(height, device=image.device), torch.arange(width, device=image.device)
    y, x = torch.meshgrid(rows - half[1], columns - half[0], indexing="ij")
    new = torch.stack([x, y, torch.ones_like(x)], dim=2).view(1, -1, 3)
    old = new @ places.mT  # (B, H W, 3)
    old = old[..., :2] / old[..., 2:] / half.clamp(min=0.5)  # -1 to 1 from the first pixel's centre to the last one's
    padding = "reflection" if border == "reflect" else "zeros"
    grid = old.view(len(image), height, width, 2).to(image.dtype)
    return F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=True)


def shift(image: Tensor, dx: Tensor, dy: Tensor, mirrored: Tensor | None, border: Border, fill: int = 0) -> Tensor:
    """Mirror and shift images by whole pixels: an index for each pixel, in any dtype, without arithmetic on it.

    Args:
        image: (B, ..., H, W).
        dx: int64 (B,), pixels to the right.
        dy: int64 (B,), pixels down.
        mirrored: bool (B,), images that are mirrored before they are shifted; None for none.
        border: reflect, as in `sample`, or black, which is filled.
        fill: value beyond a black border.

    Returns:
        The same shape and dtype.
    """
    count, height, width = len(image), *image.shape[-2:]
    x = torch.arange(width, device=image.device) - dx[:, None]  # (B, W)
    y = torch.arange(height, device=image.device) - dy[:, None]  # (B, H)
    inside = None
    if border == "black":
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None]
    x, y = _reflect(x, width), _reflect(y, height)
    if mirrored is not None:
        x = torch.where(mirrored[:, None], width - 1 - x, x)
    index = (y[:, :, None] * width + x[:, None]).view(count, 1, -1)
    planes = image.reshape(count, -1, height * width)
    moved = planes.gather(2, index.expand(planes.shape))
    if inside is not None:
        moved = moved.masked_fill(~inside.view(count, 1, -1), fill)
    return moved.view(image.shape)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Mirror an index at the first and the last pixel."""
    period = max(1, 2 * (size - 1))
    index = index.remainder(period)
    return torch.where(index >= size, period - index, index)


LUMINANCE = YIQ[0]


def change_colours(
    image: Tensor,
    brightness: Tensor | None = None,
    contrast: Tensor | None = None,
    saturation: Tensor | None = None,
    hue: Tensor | None = None,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of images, in this order.

    Args:
        image: uint8 or float (B, C, H, W); saturation and hue need three channels.
        brightness: (B,), factor; None for no change, like the others.
        contrast: (B,), factor on the distance of each value from the image's mean luminance.
        saturation: (B,), factor on the distance of each pixel from its luminance; 0 is gray.
        hue: (B,), turn of the colour circle, -0.5 to 0.5.

    Returns:
        float (B, C, H, W), 0 to 1.
    """
    image = fractions(image)
    count, channels = image.shape[:2]
    weights = image.new_tensor(LUMINANCE if channels == 3 else [1 / channels] * channels)
    one = torch.eye(channels, dtype=image.dtype, device=image.device)
    linear, offset = one.repeat(count, 1, 1), image.new_zeros(count, channels, 1)
    if brightness is not None:
        linear = linear * brightness[:, None, None]
    if contrast is not None:
        factor, mean = contrast[:, None, None], image.mean((2, 3))[:, :, None]
        gray = weights @ (linear @ mean + offset)  # (B, 1)
        linear, offset = linear * factor, offset * factor + (1 - factor) * gray[:, :, None]
    if saturation is not None:
        factor = saturation[:, None, None]
        by = factor * one + (1 - factor) * weights.expand(channels, channels)
        linear, offset = by @ linear, by @ offset
    if hue is not None:
        to_yiq = image.new_tensor(YIQ)
        angle = hue * (2 * math.pi)
        cos, sin = angle.cos(), angle.sin()
        turn = one.repeat(count, 1, 1)
        turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
        by = torch.linalg.inv(to_yiq) @ turn @ to_yiq
        linear, offset = by @ linear, by @ offset
    return torch.baddbmm(offset, linear, image.flatten(2)).clamp(0, 1).view(image.shape)
