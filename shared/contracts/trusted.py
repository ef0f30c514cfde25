"""Models of values that are right already, because a model gave them: past validation, at a tenth of its cost."""

from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


@cache
def _fields(model: type[BaseModel]) -> tuple[tuple[str, ...], set[str]]:
    return tuple(model.model_fields), set(model.model_fields)


def trusted(model: type[M], **values: Any) -> M:
    """The model of all its fields, in their order, each of the very type that validation would give.

    Pydantic's own ``model_construct`` is slower than validating. Raises ``TypeError`` where a field is missing, unknown
    or elsewhere, for the JSON of a model is in the order of its fields.
    """
    names, all_set = _fields(model)
    if tuple(values) != names:
        raise TypeError(f"{model.__name__} has the fields {', '.join(names)}, in this order")
    made = model.__new__(model)
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_fields_set__", all_set)  # shared: a copy of a model has its own
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made
