"""A server of the official SDK that books seats: `python mcp_booking.py`, or `server` in this process. It tells its progress, asks who travels, asks the model
for a greeting, and gives a picture of the ticket back. Used by mcp/test_asking.py and ui/test_questions.py."""
import asyncio, os, struct, warnings, zlib
from pathlib import Path
from typing import Literal

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel, Field

server, PAUSE = MCPServer("booking"), 0.1  # seconds between two words of progress
warnings.filterwarnings("ignore", message="The sampling capability is deprecated")


class Traveller(BaseModel):
    name: str = Field(title="Name", description="as in the passport")
    age: int = Field(title="Age", ge=0, le=120)
    seat: Literal["aisle", "window"] = Field("window", title="Seat")
    insured: bool = Field(False, title="With insurance", description="12 euros more")


def picture(width=160, height=60):
    "A blue ticket with a white edge, as PNG"
    row = lambda y: b"\0" + b"".join(b"\xff\xff\xff" if min(x, y, width - 1 - x, height - 1 - y) < 4 else b"\x1f\x5f\xbf" for x in range(width))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(map(row, range(height))))) + chunk(b"IEND", b"")


def note(text):
    if path := os.environ.get("BOOKING_LOG"):
        with Path(path).open("a") as f: f.write(f"{text}\n")


@server.tool()
async def book(to: str, ctx: Context) -> list:
    "Book a seat to `to`"
    note(f"call {to}")
    for i in range(12):
        await ctx.report_progress(i + 1, 12, "looking for seats")
        await asyncio.sleep(PAUSE)
    answer = await ctx.elicit(f"Who travels to {to}?", Traveller)
    if answer.action != "accept": return [f"not booked: {answer.action}"]
    who = answer.data
    asked = SamplingMessage(role="user", content=TextContent(text=f"Greet {who.name} in one line"))
    said = await ctx.session.create_message([asked], max_tokens=100)
    note(f"booked {who.model_dump_json()}")
    return [f"{who.name}, {who.age}, {who.seat}{', insured' if who.insured else ''}. {said.content.text}", Image(data=picture(), format="png")]


if __name__ == "__main__": server.run()
