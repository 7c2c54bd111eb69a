import os

import pytest

from gpt_assistant_api.domain.files import EXTENSIONS, MAX_FILENAME_BYTES, safe_filename


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cat.jpg", "cat.png"),
        ("My holiday (1).JPEG", "My holiday (1).png"),
        ("Ünïcödé 写真.png", "Ünïcödé 写真.png"),
        ("archive.tar.gz", "archive.tar.png"),
        ("no ending", "no ending.png"),
        (None, "image.png"),
        ("", "image.png"),
        (" ... ", "image.png"),
        ("../../etc/passwd", "passwd.png"),
        ("/absolute/path.png", "path.png"),
        ("C:\\Users\\ada\\cat.gif", "cat.png"),
        ("C:cat.gif", "C_cat.png"),
        ("..", "image.png"),
        ("up/", "image.png"),
        (".htaccess", "htaccess.png"),
        ("cat.png\0.html", "cat.png_.png"),
        ('a"b<c>d|e?f*g', "a_b_c_d_e_f_g.png"),
        ("a\r\nSet-Cookie: b", "a__Set-Cookie_ b.png"),
        ("gpj.\u202ecat", "gpj.png"),
        ("in\u200bvisible\ufeff\u2066", "in_visible__.png"),
        ("line\u2028end", "line_end.png"),
        ("half\ud800", "half_.png"),
        ("con", "_con.png"),
        ("NUL.txt", "_NUL.png"),
        ("com1.a.b", "_com1.a.png"),
        ("LPT¹", "_LPT¹.png"),
        ("console.png", "console.png"),
        ("trailing. .jpg", "trailing.png"),
    ],
)
def test_a_name_is_data_and_never_a_path(name: str | None, safe: str) -> None:
    assert safe_filename(name, "image/png") == safe


@pytest.mark.parametrize("character", ["a", "é", "写", "😀"])
def test_a_long_name_fits_every_file_system(character: str) -> None:
    for length in range(1, 4_100, 97):
        name = safe_filename(character * length, "image/webp")
        assert len(os.fsencode(name)) <= MAX_FILENAME_BYTES + len(".webp")
        assert set(name.removesuffix(".webp")) == {character}


def test_the_ending_is_that_of_the_bytes() -> None:
    for content_type, ending in EXTENSIONS.items():
        assert safe_filename("page.html", content_type) == f"page{ending}"
