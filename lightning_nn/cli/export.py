"""`export`: a trained model to hand on: a folder, a file of weights, or its network as ONNX or a program of torch."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from lightning_nn import catalog
from lightning_nn.cli.checkpoint import open_trained
from lightning_nn.cli.console import show_table
from lightning_nn.cli.overwriting import InputFiles, check_out, check_out_folder
from lightning_nn.cli.request import Request
from lightning_nn.cli.verbs import program
from lightning_nn.cli.writers import json_text
from lightning_nn.data.batches import Batch
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically, write_text
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.model_folder import CARD, writing_folder
from lightning_nn.runs.packed_rows import Bits
from lightning_nn.runs.run_folder import Run, load_results
from lightning_nn.runs.weights_file import save_folder, save_weights
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.task import Task
from lightning_nn.visualization.model_card import ModelCard, card

MOST_SAMPLES = 4096  # in a batch: torch 2.6 wants an end
AXES = ("batch", "channels", "height", "width")
EXAMPLES = ((200, 130), (72, 90))  # width and height, one wide, one high; no layer divides them all


class Forward(nn.Module):
    """A model that takes the tensors of its batch one by one.

    Args:
        model: in evaluation mode.
        example: a batch of the kind that it reads; fields that are None stay so.
    """

    def __init__(self, model: Task, example: Batch) -> None:
        super().__init__()
        self.model, self.kind = model, type(example)
        self.inputs = {name: value for name, value in cast(Any, example)._asdict().items() if isinstance(value, Tensor)}

    def forward(self, *tensors: Tensor) -> Any:
        """Compute the model's output."""
        return self.model(self.kind(**dict(zip(self.inputs, tensors, strict=True))))


def export(request: Request) -> int:
    """Run `export`.

    Returns:
        The exit code.

    Raises:
        UserError: there is no checkpoint, its model can't be exported, or onnx is not installed.
    """
    assert request.options is not None
    out: Path = request.options.out
    checkpoint = open_trained(request, request.ckpt_path or "best", "exporting")
    inputs = InputFiles.of(checkpoint, request.imports)
    if request.options.to_folder:
        check_out_folder(out, inputs)
    else:
        check_out(out, inputs)
    model: Task = catalog.MODELS[checkpoint.model].load().from_checkpoint(checkpoint)
    if request.options.to_folder:
        _save_folder(request, checkpoint, model, out)
        return 0
    if out.suffix == ".safetensors":
        _save_weights(checkpoint, model, out, request.options.bits)
        return 0
    if not model.exportable:
        raise UserError(
            f"{model.name} can't be exported: {model.why_not_exportable}. Its checkpoint is enough to predict (--out "
            f"FILE.safetensors is a small one): {program()} predict --ckpt_path {checkpoint.path}, or in Python "
            f"{type(model).__name__}.load_from_checkpoint({str(checkpoint.path)!r}).predict([...])"
        )
    processor = model.require_processor()
    example, other = (processor.encode([Image.new("RGB", size)] * 2) for size in EXAMPLES)
    model.check_batch(example)
    model.to(memory_format=torch.contiguous_format)  # of channels_last, torch.export checks the strides of each map
    forward = Forward(model, example).eval()
    about = {"checkpoint": checkpoint.path.name, **_about(model), "input": ", ".join(forward.inputs)}
    exported = export_program(forward, other)
    if out.suffix == ".pt2":
        about |= {"least": str(_least_side(exported, example))} if about.get("height") == "any" else {}
        write_atomically(out, lambda file: torch.export.save(exported, file, extra_files=about))
    else:
        content = to_onnx(exported, forward, about)
        write_atomically(out, lambda file: file.write(content))
    least = f", H and W from {about['least']} on" if "least" in about else ""
    for line in _input_lines(exported, forward):
        print(f"{out}: {line}{least}")
    return 0


def _save_weights(checkpoint: Checkpoint, model: Task, out: Path, bits: Bits) -> None:
    """Write weights with all that predict and test need, and print their sizes."""
    about = {"checkpoint": checkpoint.path.name}
    save_weights(checkpoint, out, about, bits, model.derived_buffers, _data_class(checkpoint))
    sizes = [path.stat().st_size for path in (out, checkpoint.path)]
    print(f"{out}: {sizes[0]:,} bytes of {sizes[1]:,}, weights in {bits} bits")


def _data_class(checkpoint: Checkpoint) -> type | None:
    """Return the class of the data that a model was trained on; None if that is not in the catalog."""
    return catalog.DATA[checkpoint.data].load() if checkpoint.data in catalog.DATA else None


def _save_folder(request: Request, checkpoint: Checkpoint, model: Task, out: Path) -> None:
    """Write a model folder, and print its files and how to go on with it."""
    assert request.options is not None
    bits, name = request.options.bits, type(model).__name__
    with writing_folder(out) as folder:
        save_folder(checkpoint, folder, {"class": name}, bits, model.derived_buffers, _data_class(checkpoint))
        write_text(folder / CARD, card(_card(checkpoint, model, out, bits), request.options.language))
        sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        replaced = [file for file in sizes if (out / file).exists()]
    show_table([("file", "bytes"), *((file, f"{size:,}") for file, size in sizes.items())], sys.stdout)
    if replaced:
        print(sanitize(f"replaced in {out}: {', '.join(replaced)}"), file=sys.stderr)
    where = shlex.quote(str(out))
    print(f"written to {sanitize(str(out))}; the model card, {CARD}, has lines to fill in: data and licence")
    print(sanitize(f"predict:   {program()} predict --ckpt_path {where} {model.inputs_hint}"))
    print(sanitize(f"in Python: {name}.from_pretrained({str(out)!r})"))


def _card(checkpoint: Checkpoint, model: Task, out: Path, bits: int) -> ModelCard:
    """Gather what a model card tells; the metrics are those of the run if this is the checkpoint that it tested."""
    run, entry = Run.of(checkpoint.path), catalog.MODELS[model.name]
    tested = run is not None and checkpoint.path.name == (run.best if run.best.is_file() else run.last).name
    rows = model.processor.row_labels() if model.processor else {}
    return ModelCard(
        model=model.name,
        class_name=type(model).__name__,
        line=entry.line,
        reads=entry.batch_types[0],
        categories=rows.get("categories", []),
        data=checkpoint.data or "",
        results=load_results(run.results) if run is not None and tested else {},
        bits=bits,
        temperature=model.temperature,
        folder=out.name if re.fullmatch(r"[\w.-]+", out.name) else "FOLDER",
        example=model.inputs_hint,
    )


def _about(model: Task) -> dict[str, str]:
    """Return texts on a model for those who use its exported network: preparation of images, output, classes."""
    processor = model.require_processor()
    about = {"model": model.name, "output": model.output_meaning, **getattr(processor, "preparation", dict)()}
    if model.temperature != 1:
        about["temperature"] = f"{model.temperature:.6g}"
        about["output"] += "; calibrated, as predict gives it, if the logits are divided by the temperature before"
    about |= {kind: json_text(rows) for kind, rows in processor.row_labels().items()}
    colours = getattr(processor, "colours", None)
    return {**about, "colours": json.dumps(colours)} if colours else about


def _input_lines(exported: torch.export.ExportedProgram, forward: Forward) -> Iterator[str]:
    """Yield type and shape of each input, with a letter for each size that is free."""
    inputs = exported.graph_signature.user_inputs
    shapes = (node.meta["val"].shape for node in exported.graph.nodes if node.name in inputs)
    for (field, tensor), shape in zip(forward.inputs.items(), shapes, strict=True):
        sizes = [str(size) if isinstance(size, int) else letter for letter, size in zip("BCHW", shape, strict=False)]
        free = ", ".join(size for size in sizes if size.isalpha())
        yield f"input {field}, {str(tensor.dtype)[6:]} {' x '.join(sizes)}; any number of {free}"


def _least_side(exported: torch.export.ExportedProgram, example: Batch) -> int:
    """Return the smallest side of square images that an exported program accepts."""
    run, (image, *_) = exported.module(), cast(Any, example)
    for side in range(1, image.shape[2]):
        with contextlib.suppress(RuntimeError, AssertionError):  # a guard fails
            run(image[:1, :, :side, :side])
            return side
    return int(image.shape[2])


def export_program(forward: Forward, other: Batch) -> torch.export.ExportedProgram:
    """Trace a model for batches of any size up to `MOST_SAMPLES`, and images of any size if it takes them.

    Args:
        forward: with an example.
        other: batch of other images; where its shape is another one, that is free if the model allows it.
    """
    samples, shapes = torch.export.Dim("batch", min=1, max=MOST_SAMPLES), []
    for name, tensor in forward.inputs.items():
        sizes = zip(tensor.shape, getattr(other, name).shape, strict=True)
        free = {i: torch.export.Dim.AUTO for i, (one, another) in enumerate(sizes) if one != another}
        shapes.append({0: samples, **free})
    return torch.export.export(forward, tuple(forward.inputs.values()), dynamic_shapes=(tuple(shapes),), strict=False)


def to_onnx(program: torch.export.ExportedProgram, forward: Forward, about: dict[str, str]) -> bytes:
    """Convert a traced model to ONNX.

    Args:
        program: from `export_program`.
        forward: what it was made from.
        about: texts for the file's metadata.

    Raises:
        UserError: this torch can't convert the network.
    """
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnxscript's own deprecations
        try:
            converted = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=list(forward.inputs), output_names=["output"]
            )
        except torch.onnx.OnnxExporterError:
            raise UserError(
                f"torch {torch.__version__} can't convert this network to ONNX: pip install -U torch onnxscript, or "
                "--out FILE.pt2"
            ) from None
    assert converted is not None
    model = converted.model_proto
    _name_axes(model.graph)
    onnx.helper.set_model_props(model, about)
    return model.SerializeToString()


def _name_axes(graph: Any) -> None:
    """Give the free sizes of an image batch their names, where torch numbers them (s95)."""
    for value in (*graph.input, *graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim, AXES, strict=False):
            if dim.dim_param:  # where an output has height and width, they are those of the input
                dim.dim_param = name
    del graph.value_info[:]  # sizes within the network, by the numbers of torch
