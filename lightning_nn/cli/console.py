"""Lightning without its advertisement, and without the messages nobody can act on: by name, never all."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_CHATTER = re.compile(
    r"Tip: |Loading `train_dataloader` to estimate|`weights_only` was not set|[GTH]PU available"
    r"|Trainer already configured|litlogger|litmodels"
    r"|Seed set to|Restor(ing|ed) |Loaded model weights|Detected KeyboardInterrupt|`Trainer\.fit` stopped"
    r"|distributed_backend|Initializing distributed|All distributed processes|Starting with \d+ processes|^-+$"
    r"|MEMBER: \d+/\d+|Running in `fast_dev_run`|will use (all|only) \d+ batch|`Trainer\(overfit_batches|^\s*$"
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Holds them back while a command runs."""
    names = ("utilities.rank_zero", "utilities.seed", "trainer.connectors.checkpoint_connector")
    roots = ("pytorch_lightning", "lightning_fabric")
    loggers = [logging.getLogger(f"{root}.{name}") for root in roots for name in names]
    for logger in loggers:
        logger.addFilter(_worth_saying)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*LeafSpec.*",
                ".*smaller than the logging interval.*",
                ".*Checkpoint directory .* exists and is not empty.*",
                ".*module\\(s\\) in eval mode.*",
                ".*is not a multiple of.*",
                ".*overridden `on_before_batch_transfer`.*",
                ".*could not find the monitored key.*",  # before the first validation; later it is an error
                ".*The dirpath has changed from.*",  # a checkpoint from elsewhere begins a run here
                r"(?s).*(Jsonargparse|v5\.0\.0).*",  # names that the next jsonargparse drops, used by Lightning too
            ):
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_worth_saying)


def _worth_saying(record: logging.LogRecord) -> bool:
    return not _CHATTER.search(record.getMessage())
