"""`export`: a trained model to hand on: a folder, a file of weights, or its network as ONNX or a program of torch."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import torch

from lightning_nn import catalog
from lightning_nn.cli.checkpoint import open_trained
from lightning_nn.cli.console import show_table
from lightning_nn.cli.hub import push
from lightning_nn.cli.network import (
    Forward,
    Traced,
    caption_networks,
    check,
    check_onnx,
    forget_origins,
    image_network,
    least_side,
    text_network,
    to_onnx,
)
from lightning_nn.cli.overwriting import InputFiles, check_out, check_out_folder
from lightning_nn.cli.request import Request
from lightning_nn.cli.standalone.source import standalone_source
from lightning_nn.cli.verbs import program
from lightning_nn.cli.writers import json_text
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically, write_text
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.model_folder import CARD, writing_folder
from lightning_nn.runs.packed_rows import Bits
from lightning_nn.runs.run_folder import Run, load_results
from lightning_nn.runs.weights_file import save_folder, save_weights
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.captioning import Captioning
from lightning_nn.tasks.task import Task
from lightning_nn.tasks.text_classification import TextClassifier
from lightning_nn.visualization.model_card import ModelCard, card

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}  # of networks in a folder, by --format
PROGRAM = "predict.py"
_PROGRAMS = {  # by the kind of the processor
    kind: f"lightning_nn.cli.standalone.{name}"
    for kind, name in (("text", "texts"), ("image", "images"), ("mask", "masks"), ("caption", "captions"))
}


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
    if isinstance(model, Captioning):
        form = next(form for form, suffix in SUFFIXES.items() if suffix == out.suffix)
        raise UserError(
            f"{model.name} becomes two networks, encoder and step, which go into a folder: --out {out.with_suffix('')} "
            f"--format {form}"
        )
    (traced,) = _networks(checkpoint, model, out.suffix).values()
    _print_of(out, _write_network(checkpoint, model, traced, out))
    return 0


def _networks(checkpoint: Checkpoint, model: Task, suffix: str) -> dict[str, Traced]:
    """Trace the networks of a model, by their names; "model" if there is one.

    Raises:
        UserError: the model can't be exported.
    """
    if isinstance(model, Captioning):
        return caption_networks(model)
    if isinstance(model, TextClassifier) and (padded := model.padded()) is not None:
        return {"model": text_network(model, padded, onnx=suffix == ".onnx")}
    if not model.exportable:
        raise UserError(
            f"{model.name} can't be exported as {suffix}: {model.why_not_exportable}. Its checkpoint is "
            f"enough to predict (--out FOLDER is a small one): {program()} predict --ckpt_path {checkpoint.path}, or "
            f"in Python {type(model).__name__}.load_from_checkpoint({str(checkpoint.path)!r}).predict([...])"
        )
    return {"model": image_network(model)}


def _write_network(checkpoint: Checkpoint, model: Task, traced: Traced, out: Path) -> list[str]:
    """Write a network of a model as an ONNX file or a program of torch, and check it.

    Args:
        checkpoint: the file of the model.
        model: in evaluation mode.
        traced: the network.
        out: the file, .onnx or .pt2.

    Returns:
        What its inputs are, and how near it is to the model, in lines.

    Raises:
        UserError: this torch can't convert the network.
    """
    network, exported = traced
    about = {"checkpoint": checkpoint.path.name, **_about(model), "input": ", ".join(network.inputs)}
    about["output"] = network.meaning or about["output"]
    if out.suffix == ".pt2":
        if isinstance(network, Forward) and about.get("height") == "any":
            about["least"] = str(least_side(exported, network))
        checked = check(network, exported.module())
        forget_origins(exported)
        write_atomically(out, lambda file: torch.export.save(exported, file, extra_files=about))
    else:
        content = to_onnx(exported, network, about)
        checked = check_onnx(network, content)
        write_atomically(out, lambda file: file.write(content))
    least = f", H and W from {about['least']} on" if "least" in about else ""
    return [*(line + least for line in network.input_lines(exported)), checked]


def _print_of(out: Path, lines: list[str]) -> None:
    for line in lines:
        print(sanitize(f"{out}: {line}"))


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
    bits, name, suffix = request.options.bits, type(model).__name__, SUFFIXES.get(request.options.format)
    lines: dict[str, list[str]] = {}
    with writing_folder(out) as folder:
        save_folder(checkpoint, folder, {"class": name}, bits, model.derived_buffers, _data_class(checkpoint))
        for stem, traced in _networks(checkpoint, model, suffix).items() if suffix else ():
            lines[f"{stem}{suffix}"] = _write_network(checkpoint, model, traced, folder / f"{stem}{suffix}")
        programs = [*lines, *(_write_program(model, folder) if suffix == ".onnx" else [])]
        write_text(folder / CARD, card(_card(checkpoint, model, out, bits, programs), request.options.language))
        sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        replaced = [file for file in sizes if (out / file).exists()]
    for file, said in lines.items():
        _print_of(out / file, said)
    show_table([("file", "bytes"), *((file, f"{size:,}") for file, size in sizes.items())], sys.stdout)
    if replaced:
        print(sanitize(f"replaced in {out}: {', '.join(replaced)}"), file=sys.stderr)
    where = shlex.quote(str(out))
    print(f"written to {sanitize(str(out))}; the model card, {CARD}, has lines to fill in: data and licence")
    print(sanitize(f"predict:   {program()} predict --ckpt_path {where} {model.inputs_hint}"))
    print(sanitize(f"in Python: {name}.from_pretrained({str(out)!r})"))
    if PROGRAM in programs:
        print(sanitize(f"without this package: python {where}/{PROGRAM} --help"))
    if request.options.push:
        print(sanitize(f"pushed to {push(out, sizes, request.options.push)}"))


def _write_program(model: Task, folder: Path) -> list[str]:
    """Write the program that predicts by networks of ONNX, if there is one for such inputs; return its name."""
    module = _PROGRAMS.get(model.require_processor().kind)
    if module is None:
        return []
    write_text(folder / PROGRAM, standalone_source(module))
    return [PROGRAM]


def _card(checkpoint: Checkpoint, model: Task, out: Path, bits: int, programs: list[str]) -> ModelCard:
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
        programs=programs,
    )


def _about(model: Task) -> dict[str, str]:
    """Return texts on a model for those who use its exported network: preparation of images, output, classes."""
    processor = model.require_processor()
    about = {"model": model.name, "output": model.output_meaning, **getattr(processor, "preparation", dict)()}
    if model.temperature != 1:
        about["temperature"] = f"{model.temperature:.6g}"
        about["output"] += "; calibrated, as predict gives it, if the logits are divided by the temperature before"
    if isinstance(model, TextClassifier):
        if (ngrams := model.embedding.ngrams) is not None:
            about["ngrams"] = (
                f"rows of the n-grams of 2 to {ngrams.longest} words that begin at each word, h(c_1 ... c_n) mod "
                f"{ngrams.table.num_embeddings}; h(c_1) = c_1, h(c_1 ... c_n) = (h(c_1 ... c_n-1) * 1000003 + c_n) "
                "mod 2147483647, where c = crc32(word in UTF-8) mod 2147483646 + 1, and 0 behind the sentence's end"
            )
        return {**about, **{name: json_text(value) for name, value in processor.state_dict().items()}}
    about |= {kind: json_text(rows) for kind, rows in processor.row_labels().items()}
    colours = getattr(processor, "colours", None)
    return {**about, "colours": json.dumps(colours)} if colours else about
