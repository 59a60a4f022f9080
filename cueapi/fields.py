"""Serializer fields that take a JSON value for what it is: no "true" for true, no 5 for "5"."""

from typing import Any

from rest_framework import serializers


class Text(serializers.CharField):
    """A string."""

    default_error_messages = {"invalid": "must be a string", "blank": "must not be empty"}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Flag(serializers.BooleanField):
    """true or false."""

    default_error_messages = {"invalid": "must be true or false"}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return bool(data)


class Whole(serializers.IntegerField):
    """A whole number."""

    default_error_messages = {"invalid": "must be a whole number"}

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class JsonObject(serializers.DictField):
    """A JSON object, kept as sent."""

    default_error_messages = {"not_a_dict": 'must be a JSON object such as {{"key": "value"}}'}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        return data


class JsonList(serializers.ListField):
    """A JSON array, kept as sent."""

    default_error_messages = {"not_a_list": "must be a JSON array"}

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        return data


class Choice(serializers.ChoiceField):
    """One of a few words; the error names them."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(f"must be one of: {', '.join(self.choices)}")
        return data


class Instant(serializers.DateTimeField):
    """An instant in answers: RFC 3339 in UTC."""


class Optional(serializers.Serializer):
    """A part of the body in which nothing is required."""

    def get_fields(self) -> dict[str, Any]:
        fields_ = super().get_fields()
        for field in fields_.values():
            field.required = False
        return fields_
