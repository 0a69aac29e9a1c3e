"""The tree of errors: who has to act is told by which branch an error is caught on."""

import pytest

from zmesh import errors


def test_every_error_is_exported_documented_and_of_the_tree() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == set(errors.__all__)
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.ZmeshError)
        assert error.__doc__


@pytest.mark.parametrize(
    ("error", "branch"),
    [
        (errors.SendRefused, errors.NetworkError),
        (errors.InvalidInput, errors.ServiceError),
    ],
)
def test_leaves_are_caught_by_their_branch(error: type[Exception], branch: type[Exception]) -> None:
    with pytest.raises(branch, match="why"):
        raise error("why")


def test_branches_do_not_catch_each_other() -> None:
    branches = [
        errors.LocalProtocolError,
        errors.RemoteProtocolError,
        errors.ConfigurationError,
        errors.NetworkError,
        errors.ServiceError,
    ]
    for error in branches:
        assert [branch for branch in branches if issubclass(error, branch)] == [error]


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    drawn = [name for name in errors.__all__ if f"- {name}" in (errors.__doc__ or "") or name == "ZmeshError"]
    assert drawn == errors.__all__
