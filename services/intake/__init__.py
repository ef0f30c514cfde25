"""intake: contacts come in here, become cases, and are told to everyone on ``contacts``."""

from shared.batch import Card

CARD = Card(
    name="intake",
    owns="contacts, case files and their threads, customers' identities, volumes",
    consumes=(),
    publishes="contacts",
)
