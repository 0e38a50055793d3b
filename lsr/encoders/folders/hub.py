"""A saved encoder on Hugging Face's hub."""

from __future__ import annotations

import os
from pathlib import Path

from lsr.checks import check_flag, check_text, expanded
from lsr.encoders.base import first_line
from lsr.encoders.folders.find import CARD_FILE, encoder_name, files_of
from lsr.encoders.folders.model_card import REPOSITORY
from lsr.encoders.folders.saved import WHOLE, is_saved_encoder, read_saved
from lsr.encoders.folders.sentence_transformers import MODULES_FILE, read_modules
from lsr.errors import EncoderError
from lsr.extras import need


def push_to_hub(
    folder: str | os.PathLike[str], repository: str, *, private: bool | None = None, message: str = "Upload an encoder"
) -> str:
    """Put a folder that `save_pretrained` or a training wrote on the hub, in one commit, and return its address.

    folder: all of its files are uploaded but hidden ones: README.md, in which a license can be entered before and
        which then names the repository, and training.json, which holds paths of this machine.
    repository: USER/NAME; it is made if it is not there. Files that are there and not in `folder` stay. private: for
        one that is made; None takes what is usual for the user.
    The token is the one that `hf auth login` or HF_TOKEN gives.

    Raises EncoderError for a folder that holds no whole encoder, and where the hub cannot be reached or refuses.
    """
    need("the hub", "huggingface_hub")
    from huggingface_hub import CommitOperationAdd, HfApi

    check_text("repository", repository)
    check_text("message", message)
    if private is not None:
        check_flag("private", private)
    place = expanded(encoder_name(folder))
    _check_whole(place)
    operations = [
        CommitOperationAdd(file.relative_to(place).as_posix(), _content(file, repository)) for file in files_of(place)
    ]
    api = HfApi()
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(made.repo_id, operations, commit_message=message)
    except Exception as error:  # whatever an unreachable or refusing server raises in the libraries below
        raise EncoderError(
            f"{place}: cannot be put on the hub as {repository!r} ({first_line(error)}); check the name, the "
            "connection, and `hf auth whoami`"
        ) from error
    return str(commit.repo_url)


def _check_whole(folder: Path) -> None:
    """Raises EncoderError for what nobody could load from the hub."""
    if is_saved_encoder(os.path.realpath(folder)):
        kind = read_saved(folder).get("kind")
        if kind != WHOLE:
            raise EncoderError(f"{folder}: names an encoder that is kept elsewhere ({kind}); save_pretrained it first")
    elif (folder / MODULES_FILE).is_file():
        read_modules(folder)
    else:
        raise EncoderError(f"{folder}: holds no encoder as save_pretrained writes it; save one there first")


def _content(file: Path, repository: str) -> str | bytes:
    """The path of a file, or what is uploaded in its place."""
    if file.name != CARD_FILE:
        return str(file)
    return file.read_bytes().replace(REPOSITORY.encode(), repository.encode())
