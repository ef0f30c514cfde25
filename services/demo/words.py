"""What customers of a payments company write about: the words that the demo's contacts are made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One reason to get in touch. ``texts``: subject and body by language, with {amount}, {reference} and {days}."""

    reason: str
    product: str
    tags: tuple[str, ...]
    share: int  # of all contacts, in percent
    texts: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Source:
    """An upstream system, what it brings, and where a person answers it."""

    name: str
    channel: str
    share: int
    url: str | None = None


SOURCES = (
    Source("zendesk-eu", "email", 42, "https://desk.acme.example/tickets/{thread}"),
    Source("help-centre", "web", 18, "https://desk.acme.example/tickets/{thread}"),
    Source("intercom", "chat", 22, "https://chat.acme.example/inbox/{thread}"),
    Source("contact-centre", "phone", 12),
    Source("partner-api", "api", 6),
)

TIERS = (("starter", 56), ("business", 34), ("enterprise", 10))

LANGUAGES = (("en", 55), ("de", 18), ("fr", 15), ("es", 12))

COUNTRIES = {
    "en": ("IE", "GB", "US", "NL", "SE"),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR", "BE", "CH"),
    "es": ("ES", "MX"),
}

FIRST_NAMES = (
    *("Aoife", "Bruno", "Carla", "Dario", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Katya", "Liam", "Mina"),
    *("Noor", "Olga", "Pavel", "Quinn", "Rosa", "Sami", "Tara", "Umar", "Vera", "Wanda", "Xenia", "Yusuf", "Zoe"),
)
LAST_NAMES = (
    *("Adler", "Brandt", "Conti", "Dubois", "Evans", "Fischer", "Garcia", "Hansen", "Ivanova", "Janssen", "Keane"),
    *("Lopez", "Moreau", "Nagy", "Okoye", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Vogel", "Walsh"),
)
AGENTS = ("ben", "chloe", "dmitri", "emma", "farid")

PASTED_CARD = "4242 4242 4242 4242"  # the number that payment providers publish for tests
CARD_SENTENCE = {
    "en": "My card is {card}.",
    "de": "Meine Karte ist {card}.",
    "fr": "Ma carte est {card}.",
    "es": "Mi tarjeta es {card}.",
}

FOLLOW_UPS = {
    "en": "Any news on this? It is getting urgent.",
    "de": "Gibt es etwas Neues? Es wird langsam dringend.",
    "fr": "Avez-vous du nouveau ? Cela devient urgent.",
    "es": "¿Hay alguna novedad? Empieza a ser urgente.",
}

TOPICS = (
    Topic(
        "payout_delay",
        "payouts",
        ("payouts",),
        22,
        {
            "en": (
                "Payout not arrived",
                "Payout {reference} of {amount} was due {days} days ago and is not in our account.",
            ),
            "de": ("Auszahlung fehlt", "Die Auszahlung {reference} über {amount} ist seit {days} Tagen überfällig."),
            "fr": ("Virement non reçu", "Le virement {reference} de {amount} devait arriver il y a {days} jours."),
            "es": ("Pago no recibido", "El pago {reference} de {amount} debía llegar hace {days} días."),
        },
    ),
    Topic(
        "refund_status",
        "payments",
        ("refunds",),
        18,
        {
            "en": ("Where is my refund?", "Refund {reference} of {amount} was promised {days} days ago."),
            "de": (
                "Wo bleibt meine Erstattung?",
                "Die Erstattung {reference} über {amount} wurde vor {days} Tagen zugesagt.",
            ),
            "fr": (
                "Où est mon remboursement ?",
                "Le remboursement {reference} de {amount} date d'il y a {days} jours.",
            ),
            "es": ("¿Dónde está mi reembolso?", "El reembolso {reference} de {amount} se prometió hace {days} días."),
        },
    ),
    Topic(
        "chargeback",
        "disputes",
        ("chargeback",),
        13,
        {
            "en": ("Dispute on order {reference}", "A customer disputes {amount}. What must we send, and by when?"),
            "de": (
                "Rückbuchung zu {reference}",
                "Ein Kunde bestreitet {amount}. Welche Belege brauchen Sie, und bis wann?",
            ),
            "fr": ("Contestation {reference}", "Un client conteste {amount}. Que devons-nous envoyer, et pour quand ?"),
            "es": ("Disputa del pedido {reference}", "Un cliente disputa {amount}. ¿Qué debemos enviar y para cuándo?"),
        },
    ),
    Topic(
        "account_takeover",
        "accounts",
        ("security",),
        5,
        {
            "en": (
                "Somebody else is in my account",
                "I did not log in {days} minutes ago, and a payout of {amount} was set up.",
            ),
            "de": (
                "Jemand ist in meinem Konto",
                "Vor {days} Minuten war ich nicht angemeldet, und {amount} sollen hinaus.",
            ),
            "fr": (
                "Quelqu'un est dans mon compte",
                "Je ne me suis pas connecté il y a {days} minutes ; {amount} vont partir.",
            ),
            "es": (
                "Alguien entró en mi cuenta",
                "Yo no entré hace {days} minutos y hay un pago preparado de {amount}.",
            ),
        },
    ),
    Topic(
        "identity_documents",
        "accounts",
        ("verification",),
        14,
        {
            "en": ("Verification still open", "We sent the documents {days} days ago. Volume until then: {amount}."),
            "de": (
                "Prüfung noch offen",
                "Die Unterlagen sind seit {days} Tagen bei Ihnen. Umsatz bis dahin: {amount}.",
            ),
            "fr": ("Vérification en attente", "Nos documents sont chez vous depuis {days} jours. Volume : {amount}."),
            "es": ("Verificación pendiente", "Enviamos los documentos hace {days} días. Volumen: {amount}."),
        },
    ),
    Topic(
        "api_error",
        "api",
        ("integration",),
        12,
        {
            "en": (
                "Webhook calls time out",
                "Since {days} hours ago our endpoint gets no events; {reference} is missing.",
            ),
            "de": (
                "Webhooks laufen in Zeitüberschreitung",
                "Seit {days} Stunden kommt kein Ereignis; {reference} fehlt.",
            ),
            "fr": ("Les webhooks expirent", "Depuis {days} heures, plus d'événement ; il manque {reference}."),
            "es": ("Los webhooks no llegan", "Desde hace {days} horas no llegan eventos; falta {reference}."),
        },
    ),
    Topic(
        "fee_question",
        "billing",
        ("fees",),
        16,
        {
            "en": ("Fee on invoice {reference}", "Please explain {amount} on the invoice of {days} days ago."),
            "de": (
                "Gebühr auf Rechnung {reference}",
                "Bitte erklären Sie {amount} auf der Rechnung von vor {days} Tagen.",
            ),
            "fr": (
                "Frais sur la facture {reference}",
                "Merci d'expliquer {amount} sur la facture d'il y a {days} jours.",
            ),
            "es": ("Comisión en la factura {reference}", "Expliquen {amount} en la factura de hace {days} días."),
        },
    ),
)
