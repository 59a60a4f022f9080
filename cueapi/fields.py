"""Serializer fields that take a JSON value for what it is: no "true" for true, no 5 for "5".

Their complaints are in words of JSON, and read on from the name of the field: "body.name: must be a string".
"""

from typing import Any

from rest_framework import serializers

NEEDED: dict[str, Any] = {"required": "is required", "null": "must not be null"}


class Text(serializers.CharField):
    """A string."""

    default_error_messages = {
        **NEEDED,
        "invalid": "must be a string",
        "blank": "must not be empty",
        "max_length": "must have at most {max_length} characters",
        "min_length": "must have at least {min_length} characters",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Flag(serializers.BooleanField):
    """true or false."""

    default_error_messages = {**NEEDED, "invalid": "must be true or false"}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return bool(data)


class Whole(serializers.IntegerField):
    """A whole number."""

    default_error_messages = {
        **NEEDED,
        "invalid": "must be a whole number",
        "max_value": "must be at most {max_value}",
        "min_value": "must be at least {min_value}",
    }

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class Share(serializers.FloatField):
    """A part of a whole: a number from 0 to 1."""

    default_error_messages = {**NEEDED, "invalid": "must be a number from 0 to 1, such as 0.2 for a fifth"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(style={"minimum": 0, "maximum": 1}, **kwargs)

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float) or not 0 <= data <= 1:
            self.fail("invalid")
        return float(data)


class JsonObject(serializers.DictField):
    """A JSON object, kept as sent."""

    default_error_messages = {**NEEDED, "not_a_dict": 'must be a JSON object such as {{"key": "value"}}'}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        return data


class Items(serializers.ListField):
    """A JSON array whose items are of one kind."""

    default_error_messages = {
        **NEEDED,
        "not_a_list": "must be a JSON array",
        "empty": "must not be empty",
        "max_length": "must have at most {max_length} items",
        "min_length": "must have at least {min_length} items",
    }


class JsonList(Items):
    """A JSON array, kept as sent."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        return data


class Choice(serializers.ChoiceField):
    """One of a few words; the error names them."""

    default_error_messages = NEEDED

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(f"must be one of: {', '.join(self.choices)}")
        return data


class Instant(serializers.DateTimeField):
    """An instant in answers: RFC 3339 in UTC."""


class Part(serializers.Serializer):
    """The body, or an object in it."""

    default_error_messages = {**NEEDED, "invalid": "must be a JSON object"}


class Optional(Part):
    """A part of the body in which nothing is required."""

    def get_fields(self) -> dict[str, Any]:
        fields_ = super().get_fields()
        for field in fields_.values():
            field.required = False
        return fields_


class Strict(Part):
    """A body in which a misspelt field must not pass for one that was left out."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        unknown = [str(name)[:60] for name in data if name not in self.fields] if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(sorted(self.fields))
            raise serializers.ValidationError(dict.fromkeys(unknown[:5], f"is not known here; what is: {known}"))
        values: dict[str, Any] = super().to_internal_value(data)
        return values
