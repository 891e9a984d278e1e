"""The calls of tools in a reply, as models write them: InternLM's <|action_start|><|plugin|>, Qwen's <tool_call>."""

import json
import re
from uuid import uuid4

from langchain_core.messages import ToolCall

_CALL = re.compile(
    r"<\|action_start\|>\s*<\|plugin\|>(.*?)(?:<\|action_end\|>|\Z)|<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL
)
_CONTROL = re.compile(r"<\|[a-z_]+\|>|</?s>")


def calls_in(text: str) -> tuple[str, list[ToolCall]]:
    """The reply without its calls, and the calls. What looks like a call and is none stays in the text."""
    calls: list[ToolCall] = []

    def taken(match: re.Match[str]) -> str:
        try:
            value = json.loads(match[1] or match[2])
            arguments = value.get("parameters", value.get("arguments", {}))
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
            calls.append(ToolCall(name=str(value["name"]), args=dict(arguments), id=f"call-{uuid4().hex[:12]}", type="tool_call"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return match[0]
        return ""

    left = _CALL.sub(taken, text)
    return _CONTROL.sub("", left).strip() if calls else _CONTROL.sub("", left), calls
