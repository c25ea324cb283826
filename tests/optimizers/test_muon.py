from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nn import FCN, BackboneClassifier, ConvNet, ImageBatch, Optimizer
from lightning_nn.data.synthetic.scenes.drawing import draw_scenes
from lightning_nn.optimizers import Muon, normalised_kernels, orthogonal
from lightning_nn.settings import OptimizerName
from lightning_nn.tasks.task import Task


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (1, 9)])
def test_singular_values_become_about_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonal(matrix) @ v.T
    torch.testing.assert_close(found, found.diagonal().diag(), rtol=0, atol=1e-4)
    large = values > 0.1 * values.norm()
    assert ((found.diagonal()[large] > 0.6) & (found.diagonal()[large] < 1.3)).all()


def test_kernels_keep_their_norm_and_are_turned_by_an_orthogonal_step() -> None:
    kernels = nn.Parameter(torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0)))
    optimizer = Muon([{"params": [kernels], "kernels": True}], lr=0.1, kernel_lr=0.2, kernel_momentum=0.5)
    before, momentum, norm = kernels.detach().clone(), torch.zeros(3, 8), kernels.detach().norm()
    for i in range(3):
        gradient = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(i + 1))
        kernels.grad = gradient.clone()
        optimizer.step()
        momentum = 0.5 * momentum + gradient.flatten(1)
        step = orthogonal(gradient.flatten(1) + 0.5 * momentum).view(3, 2, 2, 2)
        before = 3**0.5 * before / before.norm() - 0.2 * step
        torch.testing.assert_close(kernels.detach(), before * norm / before.norm())


def test_kernels_of_zeros_leave_them() -> None:
    kernels = nn.Parameter(torch.zeros(3, 2, 1, 1))
    kernels.grad = torch.randn(3, 2, 1, 1)
    Muon([{"params": [kernels], "kernels": True}], lr=0.1, kernel_lr=0.2).step()
    assert float(kernels.detach().norm()) == pytest.approx(3**0.5)


@pytest.mark.parametrize(
    ("shape", "angle"), [((64, 64, 3, 3), 0.078), ((128, 64, 1, 1), 0.064), ((256, 1, 3, 3), 0.020)]
)
def test_the_angle_of_a_step_is_as_documented(shape: tuple[int, ...], angle: float) -> None:
    random = torch.Generator().manual_seed(0)
    kernels = nn.Parameter(torch.randn(shape, generator=random))
    before, kernels.grad = kernels.detach().clone(), torch.randn(shape, generator=random)
    Muon([{"params": [kernels], "kernels": True}], lr=0.1, kernel_lr=0.1).step()
    found = torch.cosine_similarity(before.flatten(), kernels.detach().flatten(), 0).acos()
    assert float(found) == pytest.approx(angle, rel=0.05)


def test_parameters_that_do_not_say_what_is_a_kernel_are_refused() -> None:
    with pytest.raises(ValueError, match="Muon takes groups of parameters, of kernels and of others"):
        Muon(nn.Conv2d(1, 2, 3).parameters(), lr=0.1, kernel_lr=0.1)  # type: ignore[arg-type]


@pytest.mark.seconds
@pytest.mark.parametrize("name", ["sgd", "adamw", "muon", "muon_adamw"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_tiny_step_leaves_the_predictions(name: OptimizerName, frozen: bool) -> None:
    """Batch norms that keep their statistics are not blind to the scale of kernels, and others are so only later."""
    model = ConvNet.from_pretrained(finetune={"freeze_statistics": frozen}).eval()
    model.optimizer = Optimizer(name, lr=1e-9, **({"kernel_lr": 1e-9} if "muon" in name else {}))
    batch = ImageBatch(torch.from_numpy(draw_scenes(64, 32, 0).image))
    before = model(batch).argmax(1)
    groups = model.parameter_groups()
    assert any(group.get("kernels") and group["params"] for group in groups) == ("muon" in name and not frozen)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    model.configure_optimizers().step()
    assert torch.equal(model(batch).argmax(1), before)


@pytest.mark.parametrize(
    ("name", "other", "own"),
    [
        ("muon", torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        ("muon_adamw", torch.optim.AdamW, {"weight_decay": 0.1}),
    ],
)
def test_other_parameters_take_the_steps_of(name: OptimizerName, other: Any, own: dict[str, Any]) -> None:
    def descend(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> Tensor:
        for _ in range(5):
            optimizer.zero_grad()
            (weight**4).sum().backward()
            optimizer.step()
        return weight.detach()

    one, two = (nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 1.5]])) for _ in range(2))
    settings = Optimizer(name, lr=0.01, momentum=own.get("momentum", 0.0))
    found = descend(settings.build([{"params": [one], "weight_decay": 0.1}]), one)
    torch.testing.assert_close(found, descend(other([two], lr=0.01, **own), two))
    assert not torch.equal(found, torch.tensor([[1.0, -2.0], [0.5, 1.5]]))


def test_a_factor_on_a_groups_rate_acts_on_its_kernels() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(2, 2, 1, 1))], "scale": 0.5, "kernels": True}]
    groups += [{"params": [nn.Parameter(torch.ones(2, 2))], "scale": 0.5}]
    rates = [group["lr"] for group in Optimizer("muon", lr=0.1, kernel_lr=0.2).build(groups).param_groups]
    assert rates == [0.1, 0.05]


def test_the_closure_computes_the_gradients() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = Muon([{"params": [weight, nn.Parameter(torch.ones(1))]}], lr=0.1, kernel_lr=0.1, momentum=0.0)

    def closure() -> Tensor:
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), 0.8))


def test_only_kernels_before_a_normalisation_are_turned() -> None:
    """The rest, such as scores and the kernels of an upsampling, moves by its own rate."""
    layers = ["conv 4 3", "max_pool 2", "batch_norm", "relu", "conv 4 1", "relu", "residual conv 4 1, batch_norm"]
    one = ConvNet(1, 8, 8, 3, [*layers, "conv 4 1", "residual conv 4 1, relu", "batch_norm", "flatten"])
    assert turned(one) == {"body.conv1.weight", "body.residual1.layers.conv1.weight"}
    other = FCN(3, 4, first_channels=4)
    bodies = {name for name, parameter in other.body.named_parameters() if parameter.dim() == 4}
    assert turned(other) == {f"body.{name}" for name in bodies}, "not those of the head"
    v3 = BackboneClassifier(3, 64, 64, 3, "mobilenet_v3_small")
    assert not [name for name in turned(v3) if ".fc1." in name or ".fc2." in name] and len(turned(v3)) > 30
    other.optimizer = Optimizer("muon", lr=1e-12, kernel_lr=1e-12)
    optimizer, before = other.configure_optimizers(), other.head.to_pixels.weight.detach().clone()
    for parameter in other.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    torch.testing.assert_close(other.head.to_pixels.weight.detach(), before)


def turned(model: Task) -> set[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(kernels)] for kernels in normalised_kernels(model)}
