"""Sentence embeddings of texts by a pretrained encoder, each text computed once.

Mean of the last layer's states over the tokens (Reimers and Gurevych, "Sentence-BERT", EMNLP 2019), scaled to length
1. Value, unit and pack stand first in what is read (`compose_texts`), so that truncation keeps them. A text's numbers
depend on the text alone.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pricing.config.features import EmbeddingConfig
from pricing.pretrained.instructions import cpu_precision
from pricing.pretrained.saved_encoders import SavedEncoders
from pricing.pretrained.text import compose_texts, shape_batches
from pricing.pretrained.weights import find_encoder, load_text_encoder, load_tokenizer, tensors_sha256
from pricing.store.artifacts import read_json, write_json
from pricing.store.tables import reading

logger = logging.getLogger(__name__)

RECORD = "embedder.json"
#: batches between two commits of the cache: what a kill may cost, some 20 s
COMMIT_EVERY = 32


class EmbeddingCache:
    """Vectors by the SHA-256 of their text, in one SQLite file.

    Parameters
    ----------
    path : Path
        Made where missing, with its folder.
    width : int
        Numbers a vector.
    """

    def __init__(self, path: Path, width: int) -> None:
        self.path = path
        self.width = width
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)

    def get(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Those of the texts that are known, each to (width,) float32."""
        by_key = {_key(text): text for text in texts}
        found = {}
        with closing(self._open()) as database:
            every = list(by_key)
            # SQLite's limit of parameters was 999
            for start in range(0, len(every), 500):
                keys = every[start : start + 500]
                marks = ",".join("?" * len(keys))
                for key, vector in database.execute(f"SELECT text, vector FROM vectors WHERE text IN ({marks})", keys):
                    if len(vector) == 4 * self.width:
                        found[by_key[key]] = np.frombuffer(vector, dtype="<f4")
        return found

    def put(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Keep (n, width) float32 vectors of n texts, in one transaction."""
        rows = [(_key(text), vector.astype("<f4").tobytes()) for text, vector in zip(texts, vectors, strict=True)]
        with closing(self._open()) as database, database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class TextEmbedder:
    """A sentence encoder.

    Parameters
    ----------
    config : EmbeddingConfig
        Encoder, length, precision.
    encoder, tokenizer
        As `load_text_encoder` and `load_tokenizer` give them.
    sha256 : str
        Of the encoder's tensors.
    name : str
        Where `find_encoder` finds it again.
    cache : Path, optional
        Folder of vectors that are known already; each encoder and setting has a file of its own in it.
    threads : int
        Batches at a time, each on one of torch's threads: shared out over three, a product's last bits change.
    """

    def __init__(
        self,
        config: EmbeddingConfig,
        encoder: Any,
        tokenizer: Any,
        sha256: str,
        name: str,
        *,
        cache: Path | None = None,
        threads: int = 1,
    ) -> None:
        self.config = config
        self.threads = threads
        self.precision = cpu_precision() if config.precision == "auto" else config.precision
        self._encoder = encoder
        if self.precision == "bf16":
            # autocast would convert them in every batch
            for layer in encoder.modules():
                if isinstance(layer, torch.nn.Linear):
                    layer.to(torch.bfloat16)
        self._tokenizer = tokenizer
        self.sha256 = sha256
        self._name = name
        self.width = int(encoder.config.hidden_size)
        self._cache: EmbeddingCache | None = None
        if cache is not None:
            self._cache = EmbeddingCache(cache / f"{self._identity()}.sqlite", self.width)

    @classmethod
    def find(cls, config: EmbeddingConfig, *, cache: Path | None = None, threads: int = 1) -> "TextEmbedder":
        """The configured encoder: a local folder, an installed weight package, or the hub.

        Raises
        ------
        WeightsError
            Found nowhere (names the ways out), or it cannot be loaded.
        """
        source = find_encoder(config.name, "text")
        encoder = load_text_encoder(source)
        sha256 = tensors_sha256(encoder.state_dict())
        return cls(config, encoder, load_tokenizer(source), sha256, config.name, cache=cache, threads=threads)

    def _identity(self) -> str:
        """What a text's numbers depend on besides the text."""
        parts = (self.sha256, self.config.max_length, self.config.batch, self.precision, torch.__version__)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def embed(self, contents: Sequence[str | None]) -> np.ndarray:
        """Embeddings of n catalogue texts, (n, width) float32 rows of length 1."""
        return self.embed_texts(compose_texts(contents))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of n texts as they are, (n, width) float32 rows of length 1."""
        known = self._cache.get(list(dict.fromkeys(texts))) if self._cache else {}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            logger.info("embedding %d texts in %s, %d are known", len(missing), self.precision, len(known))
        known |= self._compute(missing)
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = known[text]
        return vectors

    def _compute(self, texts: list[str]) -> dict[str, np.ndarray]:
        if not texts:
            return {}
        tokens = self._tokenizer(texts, truncation=True, max_length=self.config.max_length, verbose=False)["input_ids"]
        lengths = np.array([len(ids) for ids in tokens])
        found: dict[str, np.ndarray] = {}
        unsaved: list[str] = []
        batches = shape_batches(lengths, self.config.batch, self.config.max_length)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        pool = ThreadPoolExecutor(self.threads)
        try:
            # a thread for one batch costs more than it brings
            apply = pool.map if len(batches) > 1 else map
            made = apply(lambda batch: self._forward([tokens[row] for row in batch[1]], batch[0]), batches)
            shown = tqdm(made, desc="embeddings", total=len(batches), disable=None, leave=False)
            for number, ((_, rows), vectors) in enumerate(zip(batches, shown, strict=True), 1):
                found |= {texts[row]: vector for row, vector in zip(rows, vectors, strict=True)}
                unsaved += [texts[row] for row in rows]
                if self._cache and (number % COMMIT_EVERY == 0 or number == len(batches)):
                    self._cache.put(unsaved, np.stack([found[text] for text in unsaved]))
                    unsaved = []
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)
        return found

    @torch.inference_mode()
    def _forward(self, tokens: list[list[int]], length: int) -> np.ndarray:
        """(b, width) float32 of b texts of at most ``length`` tokens."""
        half = self.precision == "bf16"
        # in bfloat16 a row has the same bits in batches of 1, 4 and 32 rows (torch 2.13), and costs a 15th of 32 in one
        # of 1; in float32 the last ones differ, so that short batches are filled up
        rows = len(tokens) if half else self.config.batch
        ids = torch.zeros(rows, length, dtype=torch.int64)  # (B, T), unused rows included
        mask = torch.zeros(rows, length, dtype=torch.int64)
        # an unused row attends to its padding rather than to nothing
        mask[:, 0] = 1
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            hidden = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = mask[:, :, None].float()  # (B, T, 1)
        mean = (hidden.float() * kept).sum(dim=1) / kept.sum(dim=1)  # (B, D)
        return torch.nn.functional.normalize(mean, dim=1)[: len(tokens)].numpy()

    def save(self, folder: Path) -> None:
        """Write the encoder and its tokenizer into a new folder: what scores must not need a package or the hub."""
        saved = SavedEncoders.save(self._name, None, folder)
        record = {"config": self.config.model_dump(mode="json"), "encoder": saved.records["text"]}
        write_json(folder / RECORD, record)

    @classmethod
    def load(cls, folder: Path, *, encoders: Path | None = None, threads: int = 1) -> "TextEmbedder":
        """Read what `save` wrote.

        Parameters
        ----------
        folder : Path
            That folder.
        encoders : Path, optional
            Where the encoder itself lies, if not in that folder.
        threads : int
            Batches at a time.

        Raises
        ------
        ArtifactError
            The record is missing or damaged.
        WeightsError
            The encoder is missing, or its weights are not those that were saved.
        """
        path = folder / RECORD
        with reading(path, "a text embedder"):
            record = read_json(path)
            config, encoder = EmbeddingConfig.model_validate(record["config"]), dict(record["encoder"])
        saved = SavedEncoders(encoders or folder, {"text": encoder, "image": None})
        name = str(saved.source("text").path)
        return cls(config, saved.text(), saved.tokenizer(), str(encoder["sha256"]), name, threads=threads)
