"""What a customer newly wrote, apart from what their program added, by the marks of programs in many languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels import markup, quoted, subjects

GMAIL = (
    '<div dir="ltr">Blue.</div><br><div class="gmail_quote"><div class="gmail_attr">On Mon, Nov 23, 2026 at 10:00 AM'
    ' Desk &lt;h@d.e&gt; wrote:<br></div><blockquote class="gmail_quote">Red?<br>Or?</blockquote></div>'
)
APPLE = (
    "<div>Blue.</div><div>-- <br>Ann</div><div><br><blockquote type=cite><div>On 23 Nov 2026, at 10:00, Desk"
    " &lt;h@d.e&gt; wrote:</div><br><div>Red?</div></blockquote></div>"
)
OUTLOOK = (
    '<div>Blue.</div><hr><div id="divRplyFwdMsg"><b>From:</b> Desk &lt;h@d.e&gt;<br><b>Sent:</b> Monday<br>'
    "<b>To:</b> Ann<br><b>Subject:</b> Colour</div><div>Red?</div>"
)


@pytest.mark.parametrize(
    "text",
    [
        "Blue.\n\nOn Mon, 23 Nov 2026 at 10:00, Desk <h@d.e> wrote:\n\n> Red or blue?\n> Best\n",
        "Blue.\n\nOn Mon, 23 Nov 2026 at 10:00, A Very Long Desk Name Indeed <\nh@d.e> wrote:\n\n> Red\n",
        "Blue.\n\nOn Mon, Nov 23, 2026 at 10:00 AM\nDesk <h@d.e> wrote:\n> Red",
        "Blue.\n\nQuoting Desk <h@d.e>:\n\n> Red\n",
        "Blue.\n\nAm 23.11.2026 um 10:00 schrieb Desk <h@d.e>:\n> Rot?\n",
        "Blue.\n\nLe lun. 23 nov. 2026 à 10:00, Desk <h@d.e> a écrit :\n\n> Rouge ?\n",
        "Blue.\n\nEl lun, 23 nov 2026 a las 10:00, Desk (<h@d.e>) escribió:\n\n> ¿Rojo?\n",
        "Blue.\n\nIl giorno lun 23 nov 2026 alle ore 10:00 Desk <h@d.e> ha scritto:\n\n> Rosso?\n",
        "Blue.\n\nOp ma 23 nov 2026 om 10:00 schreef Desk <h@d.e>:\n\n> Rood?\n",
        "Blue.\n\nW dniu 23.11.2026 o 10:00, Desk pisze:\n> Czerwony?\n",
        "Blue.\n\nEm seg., 23 de nov. de 2026 às 10:00, Desk <h@d.e> escreveu:\n\n> Vermelho?\n",
        "Blue.\n\nDen mån 23 nov. 2026 kl 10:00 skrev Desk <h@d.e>:\n\n> Röd?\n",
        "Blue.\n\nпн, 23 нояб. 2026 г. в 10:00, Desk <h@d.e>:\n\n> Красный?\n",
        "Blue.\n\n2026年11月23日(月) 10:00 Desk <h@d.e>:\n\n> 赤？\n",
        "Blue.\n\nFrom: Desk <h@d.e>\nSent: Monday, 23 November 2026 10:00\nTo: Ann <a@b.c>\nSubject: Colour\n\nRed?\n",
        "Blue.\n\n*From:* Desk <h@d.e>\n*Sent:* Mon\n*To:* A\n*Subject:* x\n\nRed?",
        "Blue.\n\n________________________________\nVon: Desk <h@d.e>\nGesendet: Montag\nAn: Ann\nBetreff: x\n\nRot?",
        "Blue.\n\nDe : Desk\nEnvoyé : lundi\nÀ : Ann\nObjet : Couleur\n\nRouge ?",
        "Blue.\n\nDe: Desk\nEnviado: lunes\nPara: Ann\nAsunto: Color\n\n¿Rojo?",
        "Blue.\n\nDa: Desk\nInviato: lunedì\nA: Ann\nOggetto: Colore\n\nRosso?",
        "Blue.\n\n-----Original Message-----\nFrom: Desk [mailto:h@d.e]\nSent: x\nTo: y\nSubject: z\n\nRed?",
        "Blue.\n\n---------- Původní e-mail ----------\nOd: Desk <h@d.e>\nKomu: A\nDatum: 23. 11.\nPředmět: x\n\n?",
        "Blue.\n\n   On Monday, 23 November 2026 at 10:00:00 GMT+1, Desk <h@d.e> wrote:  \n \n Red?\n",
        "Blue.\n\nSent from my iPhone\n\n> On 23 Nov 2026, at 10:00, Desk <h@d.e> wrote:\n> \n> Red?\n",
        "Blue.\n\nVon meinem iPhone gesendet\n\n> Am 23.11.2026 um 10:00 schrieb Desk <h@d.e>:\n> \n> Rot?\n",
        "On Mon, Desk wrote:\n> Red?\n\nBlue.\n\n-- \nAnn",
        "Blue.\n-- \nAnn\nAcme",
        "Blue.\n\nDesk <h@d.e> wrote:\n\nRed?",
        "Blue.\n\nOn 22 Aug 2026, at 7:37 PM, Desk<h@d.e> wrote:\n",
        "Blue.\n\n---- On Tue, 22 Dec 2026 14:17:36 +0530 Desk&lt;h@d.e&gt; wrote ----\n\nRed?",
        'Blue.\n\nAm 21.04.2026 17:48 schrieb "Desk" <h@d.e\n>:\n> Rot?',
        'On 8 May 2026 17:34, "Desk" <h@d.e> wrote:\n\nBlue.',
        "Blue.\n\n--\nAnn\n\n> Red?",
        "Blue.\n\nGet Outlook for iOS",
        markup.to_text(GMAIL),
        markup.to_text(APPLE),
        markup.to_text(OUTLOOK),
    ],
)
def test_only_what_is_new_is_left(text: str) -> None:
    assert quoted.split(text, answers=True).new == "Blue."


def test_answers_between_quotes_are_kept_without_them() -> None:
    text = quoted.split("> Red or blue?\nBlue.\n\n> Size?\n\nXL\n", answers=True)
    assert (text.new, text.quoted) == ("Blue.\n\nXL", "> Red or blue?\n\n> Size?")


@pytest.mark.parametrize(
    "said",
    [
        "tir. 7. okt. 2025 kl. 10:12 skrev Desk <help@desk.example>:",
        "вт, 7 окт. 2025 г. в 10:12, Desk <help@desk.example>:",
        "Desk <help@desk.example> 于2025年10月7日周二 10:12写道：",
        "Desk <help@desk.example>, 7 Eki 2025 Sal, 10:12 tarihinde şunu yazdı:",
        "ב-יום ג׳, 7 באוק׳ 2025 ב-10:12 מאת Desk <help@desk.example>:",
        "Vào Th 3, 7 thg 10, 2025 vào lúc 10:12 Desk <help@desk.example> đã viết:",
    ],
)
def test_an_answer_over_an_unmarked_mail_in_any_language(said: str) -> None:
    found = quoted.split(f"Blue.\n\n{said}\n\nRed or blue?\n", answers=True)
    assert (found.new, found.quoted) == ("Blue.", f"{said}\n\nRed or blue?")


def test_a_log_with_times_and_addresses_is_no_earlier_mail() -> None:
    log = "It fails:\nMay 29 11:58:43 mx smtpd: from (ann@a.example) refused:\nMay 29 11:58:44 mx smtpd: end"
    assert quoted.split(log, answers=True).new == log


@pytest.mark.parametrize(
    "text",
    [
        "> SELECT 1\ndoes not work",
        "From: Berlin\nTo: Paris\nDate: 3 March\nThanks",
        "On Monday I wrote:\nmy invoice is wrong\nplease",
        "Options:\n--fast is slow\n--slow is fast",
        "I sent it on 3 March and you wrote:\nnothing",
        "Name: Ann\nSubject: Refund\nMessage: please",
    ],
)
def test_what_only_looks_quoted_stays(text: str) -> None:
    assert quoted.split(text, answers=False).new == text


def test_a_text_is_never_emptied() -> None:
    assert quoted.split("> only this", answers=True).new == "> only this"
    assert quoted.split("-- \nAnn", answers=False).new == "-- \nAnn".replace("-- ", "--")


def test_a_forwarded_mail_is_kept_whole_and_read() -> None:
    body = (
        "See below\n\nBegin forwarded message:\n\nFrom: Ann <a@b.c>\nSubject: Help\nDate: Monday\nTo: D\n\nPlease help."
    )
    text = quoted.split(body, answers=False, forwards=True)
    assert text.new == body
    assert text.forwarded is not None
    assert (text.forwarded.sender, text.forwarded.subject) == ("Ann <a@b.c>", "Help")
    assert (text.forwarded.text, quoted.covering(body)) == ("Please help.", "See below")


@given(
    st.lists(st.sampled_from(["> a", "", "--", "-- ", "On 1.1.2026 x wrote:", "From: a@b", "To: b", "Subject: c", "d"]))
)
def test_every_word_is_somewhere(lines: list[str]) -> None:
    text = "\n".join(lines)
    parts = quoted.split(text, answers=True)
    found = " ".join((parts.new, parts.quoted, parts.signature)).split()
    assert sorted(found) == sorted(text.split())
    assert bool(parts.new) == bool(text.strip())


@pytest.mark.parametrize(
    ("given", "text", "prefixes"),
    [
        ("Re: x", "x", ("Re",)),
        ("AW: WG: Rechnung", "Rechnung", ("AW", "WG")),
        ("Re[2]: x", "x", ("Re",)),
        ("RE : Facture", "Facture", ("RE",)),
        ("[List] Re: [List] x", "[List] x", ("Re",)),
        ("回复：账单", "账单", ("回复",)),
        ("R: Fattura", "Fattura", ("R",)),
        ("SV: VS: Odp: YNT: Antw: x", "x", ("SV", "VS", "Odp", "YNT", "Antw")),
        ("re: ", "", ("re",)),
        ("Regarding: x", "Regarding: x", ()),
        ("C: drive full", "C: drive full", ()),
        ("i: am", "i: am", ()),
        ("Re" * 5_000, "Re" * 5_000, ()),
    ],
)
def test_subjects_without_what_programs_put_before_them(given: str, text: str, prefixes: tuple[str, ...]) -> None:
    assert subjects.read(given) == (text, prefixes)


@pytest.mark.parametrize(
    "subject", ["WG: x", "TR : x", "RV: x", "Fwd: x", "FW: Re: x", "I: x", "ENC: x", "转发: x", "PD: x"]
)
def test_forwards_are_known_in_many_languages(subject: str) -> None:
    assert subjects.read(subject).is_forward
    assert not subjects.read(f"Re: {subject}").is_forward


@pytest.mark.parametrize(
    ("subject", "automatic"),
    [
        ("Automatic reply: x", True),
        ("Automatische Antwort: x", True),
        ("Réponse automatique : x", True),
        ("Out of Office", True),
        ("Out of office printer broken", False),
        ("Auto response not working", False),
        ("Absent", False),
    ],
)
def test_subjects_by_which_a_machine_answers(subject: str, automatic: bool) -> None:
    assert bool(subjects.automatic(subject)) == automatic


HOSTILE = {
    "head": "From: a@b\n" * 20_000,
    "half a head": "From: a\nTo: b\nDate: c\n" * 8_000,
    "wide colons": "a：\n" * 60_000,
    "attributions": "On 1.1. \n" * 22_000,
    "quotes": "\n>\n" * 60_000,
    "separators": "-- \n" * 50_000,
    "rules": "-----\nFrom: a\n" * 14_000,
    "one line": "-" * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_read_to_their_end(name: str) -> None:
    """Of the greatest length that is read; with a quadratic rule this would not end in time."""
    assert quoted.split(HOSTILE[name] + "\nend", answers=True).new


@pytest.mark.parametrize(
    "piece", ["<div>", "<blockquote type=cite>", "<pre>", "<br>", "&nbsp;", "<!--x-->", "<<", "<a ", "&#x41"]
)
def test_hostile_markup_is_read_to_its_end(piece: str) -> None:
    assert markup.to_text(piece * (400_000 // len(piece)) + "<p>end").endswith(("end", "end>"))
