"""Every head in plain NumPy, text by text and position by position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsr.encoders.spec import HeadSpec

Floats = npt.NDArray[np.float64]


@dataclass
class Text:
    """ids: int [tokens]. special, counted: bool [tokens]. last, inputs: float [tokens, hidden]."""

    ids: npt.NDArray[np.int64]
    special: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    last: Floats
    inputs: Floats


def relu(z: Floats) -> Floats:
    return np.maximum(z, 0)


def softplus(z: Floats) -> Floats:
    return np.log(1 + np.exp(z))


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": relu,
    "log1p": lambda z: np.log(1 + relu(z)),
    "log1p-log1p": lambda z: np.log(1 + np.log(1 + relu(z))),
    "softplus": softplus,
    "log1p-softplus": lambda z: np.log(1 + softplus(z)),
}


def weights_of(spec: HeadSpec, parameters: dict[str, Floats], text: Text, special: set[int]) -> Floats:
    """float [components], zeros and what is below zero as zeros. parameters: as Head names them, and "output.*"."""
    components = len(parameters["output.weight"])
    act = ACTIVATIONS[spec.activation]
    w = np.zeros(components)
    if spec.kind == "mlp":
        seen: dict[int, list[float]] = {}
        for i in np.flatnonzero(text.counted):
            z = parameters["linear.weight"][0] @ text.last[i] + parameters["linear.bias"][0]
            seen.setdefault(int(text.ids[i]), []).append(float(act(z)))
        for token, values in seen.items():
            w[token] = sum(values) if spec.pooling == "sum" else max(values)
    else:
        logits = text.inputs @ parameters["output.weight"].T + parameters["output.bias"]
        if spec.importance:
            z = text.last @ parameters["importance.weight"][0] + parameters["importance.bias"][0]
            logits = logits * np.log(1 + softplus(z))[:, None]
        if spec.pooling == "first":
            w = act(logits[0])
        elif spec.pooling == "last":
            w = act(logits[-1])
        elif spec.pooling == "sum":
            w = act(logits[text.counted]).sum(0)
        elif spec.special_positions:
            w = act(logits[text.counted]).max(0) if text.counted.any() else w
        else:
            w = act(np.vstack([logits[text.counted], np.zeros(components)])).max(0)
        if spec.quality:
            w = w / (1 + np.exp(-(text.last[0] @ parameters["quality.weight"][0] + parameters["quality.bias"][0])))
    w = relu(w)
    literal = np.isin(np.arange(components), text.ids[~text.special])
    w = with_residual(spec, parameters, text, w, literal)
    counts = np.zeros(components)
    if spec.lexical is not None:
        stems = parameters["lexical.stems"].astype(int)
        w = np.array([max(w[stems == j], default=0.0) for j in range(components)])
        counts = lexical_part(text.ids[~text.special].tolist(), stems.tolist(), parameters["lexical.counted"] > 0)
    if not spec.special_components:
        w[list(special)] = counts[list(special)] = 0
    if spec.literal_only:
        w[~literal] = 0
    w = windowed(spec, w, counts)
    w = w if spec.lexical is None else spec.lexical * w + counts
    length = np.sqrt((w**2).sum())
    return w / length if spec.unit_length and length else w


def windowed(spec: HeadSpec, w: Floats, counts: Floats) -> Floats:
    """Without what is outside of the window, which components with a count are never."""
    if spec.window is None:
        return w
    beside = np.where(counts > 0, 0, w)
    room = spec.window if spec.lexical is None else max(spec.window - int((counts > 0).sum()), spec.window // 4, 1)
    dropped = np.argsort(-beside, kind="stable")[room:]
    beside[dropped] = 0
    return beside + np.where(counts > 0, w, 0)


def with_residual(
    spec: HeadSpec, parameters: dict[str, Floats], text: Text, w: Floats, literal: npt.NDArray[np.bool_]
) -> Floats:
    """With PROSPER's literal residual, if the head has one."""
    if not spec.residual:
        return w
    u = parameters["residual.weight"] @ np.log(1 + relu(text.last[-1])) + parameters["residual.bias"]
    return literal_residual(w, u, literal)


def literal_residual(w: Floats, u: Floats, literal: npt.NDArray[np.bool_]) -> Floats:
    """PROSPER, eq. 9."""
    return w + literal * (u.max() - u)


def lexical_part(tokens: list[int], stems: list[int], counted: npt.NDArray[np.bool_]) -> Floats:
    """BM25's saturation of counts of stems with k1 = 0.9, b = 0.4 and a mean length of 100."""
    f = np.zeros(len(stems))
    for token in tokens:
        f[stems[token]] += counted[token]
    return f / (f + 0.9 * (1 - 0.4 + 0.4 * len(tokens) / 100))
