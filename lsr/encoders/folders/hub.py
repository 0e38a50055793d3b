"""Uploading a saved encoder to the Hugging Face hub."""

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
    """Upload a folder written by `save_pretrained` or a training to the hub, in one commit; returns its address.

    folder: the folder. All files are uploaded except hidden ones. training.json, which has paths of this machine, is
        uploaded, too. README.md is uploaded with the name of the repository; enter a license in it before.
    repository: USER/NAME; created if it does not exist. Its files that are not in `folder` stay.
    private: whether a created repository is private. Default: the setting of the user.
    message: the message of the commit.

    The token is that of `hf auth login` or HF_TOKEN. Raises EncoderError for a folder without a complete encoder, and
    if the hub cannot be reached or refuses.
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
    except Exception as error:  # errors of an unreachable or refusing server have no common class
        raise EncoderError(
            f"{place}: cannot be uploaded to {repository!r} ({first_line(error)}); check the name, the connection, and "
            "`hf auth whoami`"
        ) from error
    return str(commit.repo_url)


def _check_whole(folder: Path) -> None:
    """Raises EncoderError for a folder that could not be loaded from the hub."""
    if is_saved_encoder(os.path.realpath(folder)):
        kind = read_saved(folder).get("kind")
        if kind != WHOLE:
            raise EncoderError(
                f"{folder}: has only a reference to an encoder ({kind}); save it with save_pretrained first"
            )
    elif (folder / MODULES_FILE).is_file():
        read_modules(folder)
    else:
        raise EncoderError(f"{folder}: has no saved encoder; save one with save_pretrained(folder) first")


def _content(file: Path, repository: str) -> str | bytes:
    """The path of a file, or the content to upload instead."""
    if file.name != CARD_FILE:
        return str(file)
    return file.read_bytes().replace(REPOSITORY.encode(), repository.encode())
