import pytest

from gpt_assistant_api.db.parameters import bind


def test_sqlite_gets_question_marks_and_postgresql_gets_numbers() -> None:
    sql = "SELECT :b, :a WHERE x = :b"
    assert bind("sqlite", sql, {"a": 1, "b": 2}) == ("SELECT ?, ? WHERE x = ?", [2, 1, 2])
    assert bind("postgresql", sql, {"a": 1, "b": 2}) == ("SELECT $1, $2 WHERE x = $3", [2, 1, 2])


def test_a_list_expands_to_as_many_parameters() -> None:
    sql = "SELECT 1 WHERE x IN :ids AND y = :y"
    assert bind("sqlite", sql, {"ids": [1, 2, 3], "y": 4}) == (
        "SELECT 1 WHERE x IN (?, ?, ?) AND y = ?",
        [1, 2, 3, 4],
    )
    assert bind("postgresql", sql, {"ids": (1, 2), "y": 4}) == (
        "SELECT 1 WHERE x IN ($1, $2) AND y = $3",
        [1, 2, 4],
    )


def test_an_empty_list_is_in_nothing() -> None:
    assert bind("sqlite", "x IN :ids", {"ids": []}) == ("x IN (NULL)", [])


@pytest.mark.parametrize(
    "text",
    [
        "':name'",
        "'it''s :name'",
        '"a :name"',
        "-- a :name\n",
        "/* a\n:name */",
        "x::text",
        "'12:30:00'",
    ],
)
def test_what_only_looks_like_a_parameter_stays(text: str) -> None:
    assert bind("postgresql", f"SELECT {text}, :x", {"x": 1}) == (f"SELECT {text}, $1", [1])


def test_a_name_without_a_value_is_refused() -> None:
    with pytest.raises(KeyError, match="missing"):
        bind("sqlite", "SELECT :missing", {})
