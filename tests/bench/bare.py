"""The floor: FastAPI and pydantic with the contact's own model, and nothing behind it.

``python -m tests.bench.bare --port 9000``
"""

import argparse

import uvicorn
from fastapi import FastAPI

from services.intake.api.answers import ContactAccepted
from services.intake.model.posted import NewContact
from tests.e2e.openapi import UNKNOWN_ID

app = FastAPI()


@app.post("/v1/contacts", status_code=202, response_model=ContactAccepted)
async def post_contact(new: NewContact) -> dict[str, object]:
    return {"contact_id": UNKNOWN_ID, "case_id": UNKNOWN_ID, "case_number": f"C-{len(new.body)}", "opened_case": True}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(
        app, port=parser.parse_args().port, access_log=False, log_level="warning", loop="uvloop", http="httptools"
    )


if __name__ == "__main__":
    main()
