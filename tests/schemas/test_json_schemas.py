"""What is documented of a variable's schema."""

from schemas.json_schemas import documented


def test_what_a_text_encodes_is_documented_though_the_interpreter_takes_the_text() -> None:
    schema = {"type": "string", "contentEncoding": "base64", "nothing": "of ours"}

    assert documented(schema, "#") == {"type": "string", "contentEncoding": "base64"}
