"""The example vision-ocr on one host reads a picture that was posted to another."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.boxes import service
from tests.mesh import Mesh

CHECKOUT = Path(__file__).parents[2]
PYTHON = CHECKOUT / ".venv-vision-ocr" / "bin" / "python"
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
LINES = ["A request crosses the mesh", "Box A answers for box B", "and nobody is between them"]
PAINT = """
import sys
from PIL import Image, ImageDraw, ImageFont
font, *lines = sys.argv[1:]
page = Image.new("RGB", (900, 80 + 80 * len(lines)), "white")
draw = ImageDraw.Draw(page)
for number, line in enumerate(lines):
    draw.text((40, 40 + 80 * number), line, "black", ImageFont.truetype(font, 40))
page.save(sys.stdout.buffer, "PNG")
"""


def test_a_picture_posted_to_one_host_is_read_on_another(mesh: Mesh) -> None:
    """The model runs in an environment of its own; the picture is drawn with that environment's Pillow."""
    assert PYTHON.exists(), "no .venv-vision-ocr; bin/test hosts makes it"
    assert FONT.exists(), "no DejaVu font; on Debian: apt install fonts-dejavu-core"
    asker = mesh.box("box-1")
    mesh.box("box-2")
    directory = str(CHECKOUT / "examples" / "vision-ocr")
    mesh.box("box-3", service("vision-ocr", "vision_ocr:vision_ocr", python=str(PYTHON), working_dir=directory))
    mesh.start()
    asker.wait_for_service("vision-ocr", timeout_s=90)
    picture = subprocess.run([PYTHON, "-c", PAINT, str(FONT), *LINES], capture_output=True, check=True).stdout
    assert picture.startswith(b"\x89PNG")
    answer = asker.ask("POST", "/service/vision-ocr", picture, headers={"Content-Type": "image/png"})
    assert answer.status == 200, answer.body
    assert (answer.headers["x-zmesh-node"], answer.headers["x-zmesh-route"]) == ("box-3", "vpn")
    print(f"{len(picture)} B of PNG in {answer.seconds:.1f} s: {answer.json['text']!r}")
    assert answer.json["text"].splitlines() == LINES
