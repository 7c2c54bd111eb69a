"""Ids that nobody can guess."""

from gpt_assistant_api.domain.ids import new_id


def test_an_id_is_made_of_128_random_bits() -> None:
    numbers = [int(new_id("thread").removeprefix("thread_"), 16) for _ in range(1_000)]
    ones = [sum(number >> bit & 1 for number in numbers) for bit in range(128)]
    assert max(numbers).bit_length() <= 128
    # Each bit is as often set as not: that any of them strays so far is one chance in 10^13.
    assert all(370 < count < 630 for count in ones)
