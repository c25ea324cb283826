"""Adam and AdamW that update a row of a table when it is read, so that a step costs what the batch reads.

Adam moves each row in each step: one that got a gradient in step u, with moments m and v behind it, goes on by its
momentum in the steps s = u + 1, u + 2, ... that give it none:

    m_s = beta_1^(s-u) m,   v_s = beta_2^(s-u) v
    w_s = (1 - lr_s lambda) w_(s-1) - lr_s m_s / (1 - beta_1^s) / (sqrt(v_s / (1 - beta_2^s)) + eps)

The terms of a row differ from those of another row of the same u by a factor only, so that all of them together are

    w_t = P w_u - F m / (sqrt(v) + eps sqrt(1 - beta_2^u))
    P = product of (1 - lr_s lambda) over s = u + 1 .. t
    F = sum of lr_s r^(s-u) sqrt(1 - beta_2^s) / (1 - beta_1^s) P_s over the same s

with r = beta_1 / sqrt(beta_2) and P_s the product from s + 1 on: two numbers for each u. It is the training of the
dense optimizer up to rounding, eps (whose factor sqrt(1 - beta_2^s) / beta_2^((s-u)/2) is that of u), and terms
below r^160 = 5e-8. w_u, m and v stay as they are until the next gradient, so that the bits of a row do not depend on
when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_TERMS = 160
_BLOCK = 8192  # rows that are brought up to date at once
_ROW_STATE = ("last", "written", "rates")  # of other types than the weights, to which torch converts a loaded state


class _RowWise(torch.optim.Optimizer):
    """Row-wise steps for tables, in front of an Adam of torch.

    While it is in use, the gradients of the tables are sparse, and a table is read by calling the module or by
    `state_dict`, which bring its rows up to date first; the weights themselves may lag behind. `release` ends that.
    """

    def __init__(self, groups: Iterable[Any], *, tables: Iterable[nn.Embedding], **settings: Any) -> None:
        self.tables = list(tables)
        super().__init__(groups, **settings)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        for table in self.tables:
            table.sparse = True
            hooks: Any = table  # torch's hooks have no types
            self._hooks.append(hooks.register_forward_pre_hook(self._before_reading))
            self._hooks.append(hooks.register_state_dict_pre_hook(self._before_saving))
            self._hooks.append(hooks.register_load_state_dict_post_hook(self._after_loading))

    def release(self) -> None:
        """Bring all rows up to date, and let the tables be read in any way again."""
        for table in self.tables:
            self.catch_up(table.weight)
            table.sparse = False
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before_reading(self, table: Any, inputs: tuple[Tensor, ...]) -> None:
        self.catch_up(table.weight, torch.unique(inputs[0]))

    def _before_saving(self, table: Any, *arguments: Any) -> None:
        self.catch_up(table.weight)

    def _after_loading(self, table: Any, keys: Any) -> None:
        if state := self.state.get(table.weight):  # its rows are what was loaded, until a state is loaded as well
            state["written"].fill_(len(state["rates"]))

    @torch.no_grad()
    def catch_up(self, weight: Tensor, rows: Tensor | None = None) -> None:
        """Bring rows of a table up to date.

        Args:
            weight: the table (V, E); one that another optimizer updates, as that of a copied model, is left alone.
            rows: int64 (U,), distinct; None for all.
        """
        state = self.state.get(weight)
        if not state:
            return
        rows = torch.arange(len(weight), device=weight.device) if rows is None else rows
        steps = len(state["rates"])
        rows = rows[state["written"].index_select(0, rows) < steps]
        for block in torch.split(rows, _BLOCK):
            weight.index_copy_(0, block, self._position(weight, block))
            state["written"].index_fill_(0, block, steps)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do a step; the closure, if there is one, computes the gradients first, and what it returns is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = {table.weight: table.weight.grad for table in self.tables}
        for weight in gradients:
            weight.grad = None
        super().step()
        for group in self.param_groups:
            for weight in group["params"]:
                if (gradient := gradients.get(weight)) is not None:
                    weight.grad = gradient
                    self._step(weight, gradient, group)
        return loss

    @torch.no_grad()
    def _step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state.update(
                step=torch.tensor(0.0),
                base=weight.detach().clone(),
                exp_avg=torch.zeros_like(weight),
                exp_avg_sq=torch.zeros_like(weight),
                last=torch.zeros(len(weight), dtype=torch.int64, device=weight.device),
                written=torch.zeros(len(weight), dtype=torch.int64, device=weight.device),
                rates=torch.zeros(0, dtype=torch.float64),
            )
        if not gradient.is_sparse:
            gradient = gradient.to_sparse(1)
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        (first, second), rate = group["betas"], float(group["lr"])
        self.catch_up(weight, rows)
        missed = (len(state["rates"]) - state["last"].index_select(0, rows))[:, None]
        position = weight.index_select(0, rows)
        mean = state["exp_avg"].index_select(0, rows).mul_(_powers(first, missed, weight))
        square = state["exp_avg_sq"].index_select(0, rows).mul_(_powers(second, missed, weight))
        mean.lerp_(values, 1 - first)
        square.mul_(second).addcmul_(values, values, value=1 - second)
        state["rates"] = torch.cat([state["rates"], torch.tensor([rate], dtype=torch.float64)])
        steps = len(state["rates"])
        denominator = (square.sqrt() / (1 - second**steps) ** 0.5).add_(group["eps"])
        position.mul_(1 - rate * group["weight_decay"])
        position.addcdiv_(mean, denominator, value=-rate / (1 - first**steps))
        for name, value in (("base", position), ("exp_avg", mean), ("exp_avg_sq", square)):
            state[name].index_copy_(0, rows, value)
        weight.index_copy_(0, rows, position)
        for name in ("last", "written"):
            state[name].index_fill_(0, rows, steps)
        state["step"] += 1

    def _position(self, weight: Tensor, rows: Tensor) -> Tensor:
        """Return where rows are after all steps so far: w_t of the file's docstring, (U, E)."""
        state = self.state[weight]
        group = next(g for g in self.param_groups if any(weight is parameter for parameter in g["params"]))
        updates, place = torch.unique(state["last"].index_select(0, rows), return_inverse=True)
        kept, moved = self._factors(state["rates"], updates.cpu(), group)
        late = group["eps"] * (1 - group["betas"][1] ** updates.double()) ** 0.5  # eps sqrt(1 - beta_2^u)
        kept, moved, late = (each.to(weight)[place, None] for each in (kept, moved, late))
        denominator = state["exp_avg_sq"].index_select(0, rows).sqrt_().add_(late)
        step = state["exp_avg"].index_select(0, rows).mul_(moved).div_(denominator.clamp_(min=_tiny(weight)))
        position: Tensor = state["base"].index_select(0, rows).mul_(kept).sub_(step)
        return position

    @staticmethod
    def _factors(rates: Tensor, updates: Tensor, group: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return P and F for rows last updated in steps u; float64 (N,) each."""
        (first, second), steps = group["betas"], len(rates)
        if not steps:
            return torch.ones(len(updates)), torch.zeros(len(updates))
        decays = torch.cat([torch.zeros(1).double(), (-group["weight_decay"] * rates).log1p()]).cumsum(0)
        s = updates[:, None] + torch.arange(1, _TERMS + 1)  # (N, 160), counted from 1
        valid, s = s <= steps, s.clamp(max=steps)
        power = (first / second**0.5) ** torch.arange(1, _TERMS + 1).double()
        s_double = s.double()
        correction = (1 - second**s_double).sqrt() / (1 - first**s_double)
        terms = rates[s - 1] * power * correction * (decays[steps] - decays[s]).exp()
        return (decays[steps] - decays[updates]).exp(), (terms * valid).sum(1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, with the steps as they were saved."""
        super().load_state_dict(state_dict)
        ids = [i for group in state_dict["param_groups"] for i in group["params"]]
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for i, parameter in zip(ids, parameters, strict=True):
            for name in _ROW_STATE:
                if name in (saved := state_dict["state"].get(i, {})):
                    self.state[parameter][name] = saved[name].clone()
            if "written" in self.state[parameter]:
                self.state[parameter]["written"].fill_(-1)  # the weights may be others


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny


def _powers(base: float, exponents: Tensor, like: Tensor) -> Tensor:
    return (base ** exponents.double()).to(like)


class RowWiseAdam(_RowWise, torch.optim.Adam):
    """Adam (Kingma and Ba 2015) whose tables are updated row by row; see the file.

    Args:
        groups: parameters, or groups of them; those of tables without weight decay, which Adam adds to the gradient.
        tables: embeddings that are read by calling them, each in one of the groups.
        settings: of torch.optim.Adam.
    """


class RowWiseAdamW(_RowWise, torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019) whose tables are updated row by row; see the file.

    Args:
        groups: parameters, or groups of them.
        tables: embeddings that are read by calling them, each in one of the groups.
        settings: of torch.optim.AdamW.
    """
