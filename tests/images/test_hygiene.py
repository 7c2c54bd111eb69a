import io
import zipfile

import pytest
from PIL import Image, PngImagePlugin

from gpt_assistant_api.images import for_model, make_thumbnail
from tests.images.builders import (
    GPS,
    XMP,
    accept_image,
    animate,
    decode,
    encode,
    every_kind,
    exif,
    jpeg_segment,
    make_frames,
    make_picture,
    png_chunk,
    with_chunks,
)

KINDS = every_kind()
MARK = b"MARK-OF-THE-SENDER"


def with_texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", MARK.decode())
    info.add_text("Packed", MARK.decode() * 3, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


def make_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hidden.txt", MARK)
    return buffer.getvalue()


def tagged() -> dict[str, bytes]:
    picture, data = make_picture(), exif()
    gif = encode(make_picture("P"), "GIF", comment=MARK)
    script = b"*/=1;alert('" + MARK + b"')//"
    jpeg = KINDS["jpeg"]
    return {
        "jpeg": encode(picture, "JPEG", exif=data, xmp=XMP, comment=MARK),
        "jpeg with a segment of each kind": jpeg[:2]
        + b"".join(jpeg_segment(code, MARK) for code in (*range(0xE0, 0xF0), 0xFE))
        + jpeg[2:],
        "jpeg with a thumbnail": encode(picture, "JPEG", exif=data + jpeg + MARK),
        "jpeg and zip": jpeg + make_zip(),
        "jpeg and jpeg": jpeg + encode(picture, "JPEG", comment=MARK),
        "mpo": encode(picture, "MPO", save_all=True, append_images=[picture], comment=MARK),
        "png": encode(picture, "PNG", exif=data, pnginfo=with_texts()),
        "animated png": animate("PNG", make_frames(), exif=data, pnginfo=with_texts()),
        "png and html": KINDS["png"] + b"<script>" + MARK + b"</script>",
        "png with chunks of its own": with_chunks(KINDS["png"], png_chunk(b"maRk", MARK)),
        "gif": gif,
        "animated gif": animate("GIF", make_frames(), comment=MARK, disposal=2),
        "gif and script": b"GIF89a/*" + KINDS["gif"][8:] + script,
        "gif with xmp": gif[:-1] + b"!\xff\x0bXMP DataXMP" + b"\x12" + MARK + b"\0;",
        "gif with plain text": gif[:-1] + b"!\x01\x12" + MARK + b"\0;",
        "webp": encode(picture, "WEBP", exif=data, xmp=XMP),
        "animated webp": animate("WEBP", make_frames(), exif=data, xmp=XMP),
        "webp and zip": KINDS["webp"] + make_zip(),
    }


TAGGED = tagged()


@pytest.mark.parametrize("name", TAGGED)
async def test_nothing_but_pixels_leaves(name: str) -> None:
    accepted = await accept_image(TAGGED[name])
    small, _ = await make_thumbnail(accepted.data, 64)
    sent, _ = await for_model(accepted.data, accepted.content_type)
    for data in (accepted.data, small, sent):
        for trace in (MARK, GPS, b"adobe", b"Exif", b"eXIf", b"EXIF", b"XMP", b"tEXt", b"hidden"):
            assert trace not in data
        picture = decode(data)
        assert not picture.getexif()
        assert set(picture.info) <= HARMLESS


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "lossless webp", "animated webp"])
async def test_what_follows_an_image_or_hides_in_it_makes_no_archive(name: str) -> None:
    data = KINDS[name] + make_zip()
    assert zipfile.is_zipfile(io.BytesIO(data))
    stored = await accept_image(data)
    assert not zipfile.is_zipfile(io.BytesIO(stored.data))
    assert stored == await accept_image(KINDS[name])


async def test_bytes_behind_the_coded_pixels_are_gone() -> None:
    """A chunk may be longer than its picture; what is behind the end would survive a mere copy."""
    lossless = KINDS["lossless webp"]
    longer = lossless[20:] + MARK + bytes(len(lossless[20:] + MARK) % 2)
    chunk = b"VP8L" + len(longer).to_bytes(4, "little") + longer
    webp = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    gif = KINDS["gif"][:-2] + bytes([len(MARK)]) + MARK + b"\0;"
    for data in (webp, gif):
        Image.open(io.BytesIO(data)).load()
        assert MARK not in (await accept_image(data)).data


HARMLESS = {
    "adobe",
    "adobe_transform",
    "background",
    "bbox",
    "blend",
    "default_image",
    "disposal",
    "duration",
    "extension",
    "jfif",
    "jfif_density",
    "jfif_unit",
    "jfif_version",
    "loop",
    "timestamp",
    "transparency",
    "version",
}
