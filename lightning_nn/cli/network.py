"""The network of a trained model for other programs: traced, converted to ONNX, and checked against the model."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from lightning_nn.data.batches import END, START, UNKNOWN, Batch, TextBatch
from lightning_nn.errors import UserError
from lightning_nn.layers.padded import PaddedRNN
from lightning_nn.tasks.captioning import Captioning
from lightning_nn.tasks.padded_text import PaddedClassifier
from lightning_nn.tasks.task import Task

MOST_SAMPLES = 4096  # in a batch: torch 2.6 wants an end
MOST_STEPS = 1 << 20  # of a sequence, likewise
AXES = ("batch", "channels", "height", "width")
EXAMPLES = ((200, 130), (72, 90))  # width and height, one wide, one high; no layer divides them all
DOCUMENTS = ((4, 2, 7), (1,), (3, 5))  # words of each sentence of the documents of an example
OTHERS = ((2, 9, 1, 6), (3,))  # and of those that are compared
TOLERANCE = 1e-4  # of an exported network, relative to its largest output if that is above 1


class Network(nn.Module, ABC):
    """A part of a trained model in evaluation, whose inputs and outputs are tensors.

    Attributes:
        inputs: an example of each input, by name.
        outputs: name of each output.
        axes: names of the first sizes of each input and output, those that are free.
        meaning: what the outputs are; "" for what the model says of its own.
    """

    inputs: dict[str, Tensor]
    outputs: tuple[str, ...] = ("output",)
    axes: Mapping[str, tuple[str, ...]]
    meaning: str = ""

    @abstractmethod
    def comparison(self) -> tuple[list[Tensor], Tensor | tuple[Tensor, ...]]:
        """Return inputs, random but always the same ones, and the model's outputs for them."""

    def input_lines(self, program: torch.export.ExportedProgram) -> Iterator[str]:
        """Yield type and sizes of each input."""
        for name, tensor in self.inputs.items():
            free = self.axes[name]
            sizes = (*free, *map(str, tensor.shape[len(free) :]))
            yield f"input {name}, {str(tensor.dtype)[6:]} {' x '.join(sizes)}; any number of {', '.join(free)}"


class Forward(Network):
    """A model of images that takes the tensors of its batch one by one.

    Args:
        model: in evaluation mode.
        example: a batch of the kind that it reads; fields that are None stay so.
    """

    def __init__(self, model: Task, example: Batch) -> None:
        super().__init__()
        self.model, self.kind = model, type(example)
        self.inputs = {name: value for name, value in cast(Any, example)._asdict().items() if isinstance(value, Tensor)}
        self.axes = dict.fromkeys((*self.inputs, "output"), AXES)

    def forward(self, *tensors: Tensor) -> Any:
        """Compute the model's output."""
        return self.model(self.kind(**dict(zip(self.inputs, tensors, strict=True))))

    def comparison(self) -> tuple[list[Tensor], Tensor]:
        """Return random images, and the model's output for them."""
        random = _random()
        images = [
            torch.randint(256, image.shape, generator=random, dtype=image.dtype) for image in self.inputs.values()
        ]
        return images, self(*images)

    def input_lines(self, program: torch.export.ExportedProgram) -> Iterator[str]:
        """Yield type and shape of each input, with a letter for each size that is free."""
        inputs = program.graph_signature.user_inputs
        shapes = (node.meta["val"].shape for node in program.graph.nodes if node.name in inputs)
        for (field, tensor), shape in zip(self.inputs.items(), shapes, strict=True):
            sizes = [
                str(size) if isinstance(size, int) else letter for letter, size in zip("BCHW", shape, strict=False)
            ]
            free = ", ".join(size for size in sizes if size.isalpha())
            yield f"input {field}, {str(tensor.dtype)[6:]} {' x '.join(sizes)}; any number of {free}"


class PaddedForward(Network):
    """A text classifier over padded documents; see `Network`.

    Args:
        model: in evaluation mode.
        padded: its form over padded documents.
    """

    def __init__(self, model: Task, padded: PaddedClassifier) -> None:
        super().__init__()
        self.padded, self.flat = padded.eval(), model
        self.inputs = dict(zip(padded.axes, padded.pad(self._batch(DOCUMENTS)), strict=True))
        self.axes = {**padded.axes, "output": ("documents", "classes")}

    def _batch(self, documents: Sequence[Sequence[int]]) -> TextBatch:
        """Return documents of random words, by the lengths of their sentences."""
        sentences = [length for document in documents for length in document]
        words = torch.randint(self.flat.hparams["vocabulary_size"], (sum(sentences),), generator=_random())
        return TextBatch(torch.tensor([len(document) for document in documents]), torch.tensor(sentences), words)

    def forward(self, *tensors: Tensor) -> Any:
        """Compute logits of padded documents."""
        return self.padded(*tensors)

    def comparison(self) -> tuple[list[Tensor], Tensor]:
        """Return padded documents of random words, and the logits of the model's flat forward for them."""
        batch = self._batch(OTHERS)
        return list(self.padded.pad(batch)), self.flat(batch)


class CaptionStart(Forward):
    """The encoder of a captioner, up to the state of its decoder before the first word.

    Args:
        model: in evaluation mode.
        example: a batch of pictures.
    """

    model: Captioning

    def __init__(self, model: Captioning, example: Batch) -> None:
        super().__init__(model, example)
        parts = len(self(*self.inputs.values()))
        self.outputs = tuple(f"state_{part}" for part in range(parts))
        self.axes = {**self.axes, **dict.fromkeys(self.outputs, ("batch",))}
        self.meaning = (
            f"{', '.join(self.outputs)}: the state before the first word, of each picture; inputs of the step"
        )

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute the state, each part (B, ...)."""
        return as_tuple(self.model.decoder.start(self.model.features(*tensors)))


class CaptionStep(Network):
    """The decoder of a captioner: a word further in each of N sentences.

    Args:
        start: of the same model.
    """

    def __init__(self, start: CaptionStart) -> None:
        super().__init__()
        self.decoder = start.model.decoder  # alone: a program of torch keeps all weights of a network
        self.words = start.model.vocabulary_size
        self.states = start(*start.inputs.values()), start.comparison()[1]
        parts = {f"state_{part}": tensor for part, tensor in enumerate(self.states[0])}
        self.inputs = {"words": torch.full((len(self.states[0][0]),), START), **parts}
        self.outputs = ("log_probabilities", *(f"next_{part}" for part in range(len(parts))))
        self.axes = dict.fromkeys((*self.inputs, *self.outputs), ("sentences",))
        self.meaning = (
            "log-probabilities (sentences, words) of the next word, and the state after it, for the next step; a "
            f"sentence begins with the word {START} and ends with {END}, and neither {START} nor {UNKNOWN} is written"
        )

    def forward(self, words: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Compute the log-probabilities of the next word, (N, V), and the state, after the words (N,)."""
        scores, after = self.decoder.log_probabilities(state if len(state) > 1 else state[0], words)
        return scores, *as_tuple(after)

    def comparison(self) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Return random words after those states that random pictures begin with, and what the model computes."""
        words = torch.randint(self.words, (len(self.states[1][0]),), generator=_random())
        return [words, *self.states[1]], self(words, *self.states[1])


def as_tuple(outputs: Any) -> tuple[Any, ...]:
    """Return the outputs of a network, one or several, as a tuple."""
    return outputs if isinstance(outputs, tuple) else tuple(outputs) if isinstance(outputs, list) else (outputs,)


def _random() -> torch.Generator:
    """Return random numbers for inputs, always the same ones, whatever torch's own generator has drawn."""
    return torch.Generator().manual_seed(0)


Traced = tuple[Network, torch.export.ExportedProgram]


def image_network(model: Task, kind: type[Forward] = Forward) -> tuple[Forward, torch.export.ExportedProgram]:
    """Trace a model of images for batches of any size, and images of any size if it takes them.

    Args:
        model: in evaluation mode.
        kind: which part of it.

    Raises:
        UserError: it reads no images.
    """
    processor = model.require_processor()
    try:
        example, other = (processor.encode([Image.new("RGB", size)] * 2) for size in EXAMPLES)
    except (UserError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{model.name} can't be exported, as it reads no images: set {type(model).__name__}.exportable = False"
        ) from error
    model.check_batch(example)
    model.to(memory_format=torch.contiguous_format)  # of channels_last, torch.export checks the strides of each map
    forward = kind(model, example).eval()
    return forward, export_program(forward, other)


@torch.no_grad()
def caption_networks(model: Captioning) -> dict[str, Traced]:
    """Trace the encoder of a captioner, for any number of pictures, and its step, for any number of sentences."""
    start, encoder = image_network(model, CaptionStart)
    assert isinstance(start, CaptionStart)
    step = CaptionStep(start).eval()
    sentences = torch.export.Dim("sentences", min=1, max=MOST_SAMPLES)
    free = [{0: sentences} for _ in step.inputs]
    shapes = free[0], tuple(free[1:])
    program = torch.export.export(step, tuple(step.inputs.values()), dynamic_shapes=shapes, strict=False)
    return {"encoder": (start, encoder), "step": (step, program)}


def text_network(
    model: Task, padded: PaddedClassifier, *, onnx: bool
) -> tuple[PaddedForward, torch.export.ExportedProgram]:
    """Trace a text classifier for any number of documents, sentences and words.

    Args:
        model: in evaluation mode.
        padded: its form over padded documents.
        onnx: by operators of ONNX, which torch can't run itself.

    Raises:
        UserError: this torch can't.
    """
    for layer in padded.modules():
        if isinstance(layer, PaddedRNN):
            layer.by_steps = not onnx
    if onnx and not hasattr(getattr(torch.onnx, "ops", None), "symbolic"):
        raise UserError(f"torch {torch.__version__} has no recurrent layers of ONNX: pip install -U torch onnxscript")
    forward = PaddedForward(model, padded)
    names = {name for axes in padded.axes.values() for name in axes}
    most = {name: MOST_SAMPLES if name == "documents" else MOST_STEPS for name in names}
    sizes = {name: torch.export.Dim(name, min=1, max=largest) for name, largest in most.items()}
    shapes = tuple({i: sizes[name] for i, name in enumerate(axes)} for axes in padded.axes.values())
    with torch.no_grad():
        return forward, torch.export.export(
            forward, tuple(forward.inputs.values()), dynamic_shapes=(shapes,), strict=False
        )


def least_side(program: torch.export.ExportedProgram, forward: Forward) -> int:
    """Return the smallest side of square images that an exported program accepts."""
    run, (image, *_) = program.module(), forward.inputs.values()
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


def to_onnx(program: torch.export.ExportedProgram, forward: Network, about: dict[str, str]) -> bytes:
    """Convert a traced model to ONNX.

    Args:
        program: from `export_program` or `text_network`.
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
                program,
                dynamo=True,
                verbose=False,
                input_names=list(forward.inputs),
                output_names=list(forward.outputs),
            )
        except torch.onnx.OnnxExporterError:
            raise UserError(
                f"torch {torch.__version__} can't convert this network to ONNX: pip install -U torch onnxscript, or "
                "--out FILE.pt2"
            ) from None
    assert converted is not None
    model = converted.model_proto
    _name_axes(model.graph, forward.axes)
    for value in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del value.metadata_props[:]  # where it was traced, by paths of this machine
    onnx.helper.set_model_props(model, about)
    return model.SerializeToString()


def _name_axes(graph: Any, axes: Mapping[str, tuple[str, ...]]) -> None:
    """Give the free sizes of inputs and output their names, where torch numbers them (s95)."""
    for value in (*graph.input, *graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim, axes[value.name], strict=False):
            if dim.dim_param:  # where an output has height and width, they are those of the input
                dim.dim_param = name
    del graph.value_info[:]  # sizes within the network, by the numbers of torch


def forget_origins(program: torch.export.ExportedProgram) -> None:
    """Remove from a program where each of its nodes was traced, by paths of this machine."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


def check(forward: Network, run: Callable[..., Tensor | tuple[Tensor, ...]]) -> str:
    """Compare an exported network with the model, and return what was found.

    Args:
        forward: the network and its model.
        run: the exported network.

    Raises:
        UserError: they differ.
    """
    with torch.no_grad():
        inputs, outputs = forward.comparison()
        expected, found = as_tuple(outputs), as_tuple(run(*inputs))
        largest = max(1.0, *(float(tensor.abs().max()) for tensor in expected))
        difference = max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))
    if not difference <= TOLERANCE * largest:
        raise UserError(
            f"the exported network differs from the model by {difference:.1e}, of outputs up to {largest:.3g}: not "
            "written. Another version of torch or onnxscript may export it right: pip install -U torch onnxscript"
        )
    return f"the same as the model to {difference:.0e}, at most {TOLERANCE:.0e} of outputs up to {largest:.3g}"


def check_onnx(forward: Network, content: bytes) -> str:
    """Compare an ONNX file with the model, if onnxruntime is installed; see `check`."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "not compared with the model: pip install onnxruntime"
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        names = [value.name for value in session.get_inputs()]
        outputs = session.run(None, dict(zip(names, (value.numpy() for value in inputs), strict=True)))
        return tuple(map(torch.from_numpy, outputs))

    return check(forward, run)
