"""Tests of the words that say why a file can't become a data set."""

from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable


def test_a_flaw_names_its_place_before_it_and_the_way_out_after_it() -> None:
    error = unusable("ragged", "It has 3 columns.", "line 7", "Give it 4.")

    assert str(error) == "line 7: It has 3 columns. Give it 4."
    assert error.flaws == (Flaw("ragged", "It has 3 columns.", "line 7", "Give it 4."),)


def test_no_more_flaws_are_listed_than_a_person_reads() -> None:
    error = Unusable([Flaw("ragged", f"Flaw {k}.") for k in range(100)])

    assert len(error.flaws) == MOST_FLAWS == 20
    assert str(error).count("\n") == MOST_FLAWS - 1
