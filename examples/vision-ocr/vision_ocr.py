"""Optical character recognition with rapidocr-onnxruntime: post an image, get its lines of text."""

import msgspec
from rapidocr_onnxruntime import RapidOCR

import zmesh


class Line(msgspec.Struct):
    text: str
    confidence: float
    box: list[tuple[float, float]]
    """Corners in pixels, clockwise from the top left."""


class Page(msgspec.Struct):
    text: str
    lines: list[Line]


engine: RapidOCR


@zmesh.set_up
def load_model() -> None:
    global engine
    engine = RapidOCR(intra_op_num_threads=2, inter_op_num_threads=1)


@zmesh.service
def vision_ocr(image: bytes) -> Page:
    found, _seconds = engine(image)
    lines = [
        Line(text, float(confidence), [(float(x), float(y)) for x, y in box]) for box, text, confidence in found or []
    ]
    return Page("\n".join(line.text for line in lines), lines)
