"""Every business rule of intake: what a contact, an activity, a merge or an erasure does to a case. Pure."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.intake.model import (
    EVENT_BODY_LIMIT,
    PARTICIPANTS_LIMIT,
    UNKNOWN,
    Absorb,
    Activity,
    Arrival,
    CaseFile,
    Contact,
    Erase,
    Filed,
    Happening,
    MergeInto,
    Standing,
    excerpt,
    is_one_of,
)
from shared.contracts.contacts import (
    CaseAbsorbed,
    CaseActivity,
    CaseMerged,
    ContactReceived,
    Customer,
    CustomerErased,
)
from shared.contracts.decision import Decision
from shared.contracts.envelope import Because
from shared.contracts.numbers import case_number
from shared.contracts.trusted import trusted
from shared.contracts.words import ActivityKind, Status


def decide(file: CaseFile, command: object, now: datetime) -> Decision[CaseFile]:
    """The next state of a case, what to tell the world, and why."""
    match command:
        case Arrival():
            return _arrive(file, command)
        case Happening():
            return _happen(file, command.activity)
        case MergeInto():
            return _merge(file, command, now)
        case Absorb():
            return _absorb(file, command, now)
        case Erase():
            return _erase(file, command, now)
    raise TypeError(f"intake decides about no {type(command).__name__}")


def _arrive(file: CaseFile, arrival: Arrival) -> Decision[CaseFile]:
    after = with_contact(file, arrival)
    return Decision(after, arrival.because, (_received(after, arrival, opens=file.number is None),))


def with_contact(file: CaseFile, arrival: Arrival) -> CaseFile:
    """The case once the contact is on it."""
    contact = arrival.contact
    filed = Filed(arrival.contact_id, contact, file.number is None, arrival.because)
    if file.number is None:
        return _opened_by(file.id, arrival, filed)
    return replace(
        file,
        url=file.url or contact.url,
        customer=_known(file.customer, contact.customer),
        participants=_participants(file.participants, contact),
        opened_at=min(file.opened_at or contact.occurred_at, contact.occurred_at),
        standing=file.standing if contact.automated else file.standing.with_contact(contact.occurred_at),
        contacts=(*file.contacts, filed),
    )


def _opened_by(case_id: UUID, arrival: Arrival, filed: Filed) -> CaseFile:
    """A new case, of its first contact."""
    contact = arrival.contact
    return CaseFile(
        id=case_id,
        number=arrival.number,
        channel=contact.channel,
        source=contact.source,
        thread=contact.thread,
        url=contact.url,
        subject=contact.subject,
        customer=contact.customer,
        participants=_participants((), contact),
        opened_at=contact.occurred_at,
        standing=Standing() if contact.automated else Standing(contacted_at=contact.occurred_at),
        follows=arrival.follows,
        contacts=(filed,),
    )


def _received(file: CaseFile, arrival: Arrival, opens: bool) -> ContactReceived:
    contact = arrival.contact
    return trusted(
        ContactReceived,
        case_id=file.id,
        occurred_at=contact.occurred_at,
        contact_id=arrival.contact_id,
        case_number=file.name,
        opened_case=opens,
        channel=contact.channel,
        source=contact.source,
        external_id=contact.external_id,
        thread=contact.thread,
        url=contact.url or file.url,
        received_at=contact.received_at,
        customer=contact.customer,
        subject=contact.subject,
        excerpt=contact.excerpt,
        body=contact.body[:EVENT_BODY_LIMIT],
        language=contact.language,
        reason=contact.reason,
        tags=contact.tags,
        attributes=contact.attributes,
        automated=contact.automated is not None,
        history=contact.history,
    )


def _known(known: Customer, new: Customer) -> Customer:
    """What is known of the case's customer. Another person's contact on the case changes nothing; nor does a name."""
    if known == UNKNOWN:
        return new
    if not ((known.id and known.id == new.id) or (known.email and known.email == new.email)):
        return known
    return Customer(**(new.model_dump(exclude_none=True) | known.model_dump(exclude_none=True)))


def _participants(known: tuple[str, ...], contact: Contact) -> tuple[str, ...]:
    if contact.mail is None and not known:
        return (contact.customer.email,) if contact.customer.email else ()
    new = (contact.customer.email, *(contact.mail.participants if contact.mail else ()))
    everyone = dict.fromkeys((*known, *(address for address in new if address)))
    return tuple(everyone)[:PARTICIPANTS_LIMIT]


def _happen(file: CaseFile, activity: Activity) -> Decision[CaseFile]:
    before = file.status
    after = replace(file, standing=_standing(file, activity), activities=(*file.activities, activity))
    told = CaseActivity(
        case_id=file.id,
        occurred_at=activity.occurred_at,
        activity_id=activity.id,
        kind=activity.kind,
        received_at=activity.received_at,
        actor=activity.actor,
        public=activity.public,
        automated=activity.automated,
        external_id=activity.external_id,
        status=activity.status,
        priority=activity.priority,
        tags=activity.tags,
        score=activity.score,
        scale=activity.scale,
        excerpt=excerpt(activity.text),
        history=activity.history,
        reason=activity.reason,
        attributes=activity.attributes,
    )
    text = f"{file.name} {'stays' if after.status is before else 'becomes'} {after.status}: {activity.kind}."
    return Decision(after, Because(text=text, facts={"before": before, "after": after.status}), (told,))


def _standing(file: CaseFile, activity: Activity) -> Standing:
    """By when things happened, within the life of the case; a machine's or a private word moves nothing."""
    at = max(activity.occurred_at, file.opened_at or activity.occurred_at)
    if activity.status is not None:
        return file.standing.with_status(activity.status, at)
    if activity.automated:
        return file.standing
    match activity.kind:
        case ActivityKind.PICKED_UP:
            return file.standing.with_handling(at)
        case ActivityKind.AGENT_REPLIED if activity.public:
            return file.standing.with_handling(at)
        case ActivityKind.CUSTOMER_REPLIED if activity.public:
            return file.standing.with_contact(at)
    return file.standing


def _merge(file: CaseFile, merge: MergeInto, now: datetime) -> Decision[CaseFile]:
    into = case_number(merge.target_number)
    after = replace(file, merged_into=merge.target)
    told = CaseMerged(case_id=file.id, occurred_at=now, into=merge.target, into_number=into, by=merge.by)
    return Decision(after, Because(text=f"{file.name} was merged into {into}.", facts={"by": merge.by}), (told,))


def _absorb(file: CaseFile, absorb: Absorb, now: datetime) -> Decision[CaseFile]:
    source = absorb.source
    standing = file.standing
    if source.standing.contacted_at is not None:
        standing = standing.with_contact(source.standing.contacted_at)
    everyone = tuple(dict.fromkeys((*file.participants, *source.participants)))[:PARTICIPANTS_LIMIT]
    after = replace(file, standing=standing, participants=everyone)
    told = CaseAbsorbed(
        case_id=file.id,
        occurred_at=now,
        source_case=source.id,
        source_number=source.name,
        earliest_unanswered_at=absorb.earliest_unanswered_at,
        by=absorb.by,
    )
    return Decision(after, Because(text=f"{file.name} took over {source.name}.", facts={"by": absorb.by}), (told,))


def _erase(file: CaseFile, erase: Erase, now: datetime) -> Decision[CaseFile]:
    mine = is_one_of(file.customer, erase.known_as)
    gone = erase.known_as | ({file.customer.email} if mine else set())
    after = replace(
        file,
        customer=UNKNOWN if mine else file.customer,
        subject="" if mine else file.subject,
        url=None if mine else file.url,
        participants=tuple(address for address in file.participants if address not in gone),
        erased=file.erased | erase.known_as,
    )
    told = CustomerErased(case_id=file.id, occurred_at=now, customer_id="")
    return Decision(after, Because(text=f"The customer of {file.name} asked to be forgotten."), (told,))


def merge_problem(source: CaseFile, target: CaseFile) -> str | None:
    """Why the one cannot be merged into the other; None where it can."""
    if source.id == target.id:
        return f"{source.name} cannot be merged into itself. Name another case."
    if source.merged_into:
        return f"{source.name} is already merged. Merge the case that it went into."
    if target.merged_into:
        return f"{target.name} is itself merged into another case. Merge into that one."
    if target.status is Status.CLOSED:
        return f"{target.name} is closed. Merge into a case that is not, or change its status first."
    return None
