"""The floor: FastAPI and pydantic with the contact's own model, the same pure normalization, and nothing behind it.

``python -m tests.bench.bare --port 9000``
"""

import argparse
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI

from services.intake import channels
from services.intake.api.answers import ContactAccepted
from services.intake.channels import api as json_channel
from services.intake.channels.adapter import Received
from services.intake.model import Contact
from services.intake.model.posted import NewContact
from tests.e2e.openapi import UNKNOWN_ID

app = FastAPI()


def normalized(new: NewContact) -> Contact:
    outcome = channels.redacted(json_channel.contact(new, Received(datetime.now(UTC))))
    assert isinstance(outcome, Contact)
    return outcome


@app.post("/v1/contacts", status_code=202, response_model=ContactAccepted)
async def post_contact(new: NewContact) -> dict[str, object]:
    number = len(normalized(new).body)
    return {"contact_id": UNKNOWN_ID, "case_id": UNKNOWN_ID, "case_number": f"C-{number}", "opened_case": True}


def serve(application: FastAPI, port: int) -> None:
    """As intake is served."""
    uvicorn.run(application, port=port, access_log=False, log_level="warning", loop="uvloop", http="httptools")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    serve(app, parser.parse_args().port)


if __name__ == "__main__":
    main()
