"""The language of what people write to support is told, or left unknown, and never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.language import detect
from tests.unit.intake.conftest import Intake

SAMPLES = {
    "en": "Hi, since yesterday I cannot log in, could you please check?",
    "de": "Hallo, ich kann mich seit gestern nicht mehr einloggen.",
    "fr": "Bonjour, je n'arrive plus à me connecter depuis hier.",
    "es": "Hola, desde ayer no puedo entrar en mi cuenta.",
    "it": "Buongiorno, da ieri non riesco più ad accedere.",
    "pt": "Olá, desde ontem não consigo entrar na minha conta.",
    "nl": "Hallo, ik kan sinds gisteren niet meer inloggen.",
    "pl": "Dzień dobry, od wczoraj nie mogę się zalogować.",
    "sv": "Hej, sedan igår kan jag inte logga in på mitt konto.",
    "cs": "Dobrý den, od včerejška se nemohu přihlásit.",
    "tr": "Merhaba, dünden beri giriş yapamıyorum.",
    "uk": "Доброго дня, від учора не можу увійти.",
    "he": "שלום, מאתמול אני לא מצליח להתחבר",
    "ar": "مرحبا، لا أستطيع تسجيل الدخول منذ الأمس",
    "zh": "您好，从昨天开始我无法登录，请帮忙检查一下",
    "ja": "昨日からログインできません。確認をお願いします",
    "ko": "어제부터 로그인이 되지 않습니다",
}


@pytest.mark.parametrize("code", SAMPLES)
def test_common_languages_are_told(code: str) -> None:
    assert detect("", SAMPLES[code]) == code


@pytest.mark.parametrize(
    "nothing", ["", "ok", "???", "C-4812", "+353 1 234 5678", "https://acme.example/about/us", "a@b.example"]
)
def test_what_has_no_words_stays_unknown(nothing: str) -> None:
    assert detect(nothing, nothing) is None


@given(st.text(), st.text(max_size=400))
def test_any_text_has_a_code_or_none(subject: str, body: str) -> None:
    found = detect(subject, body)
    assert found is None or found.split("-")[0].isalpha()


async def test_a_given_language_is_kept_and_a_missing_one_is_filled_in(intake: Intake) -> None:
    for given_, found in (({}, "de"), ({"language": "gsw"}, "gsw")):
        accepted = await intake.contact(body=SAMPLES["de"], **given_)
        assert (await intake.get(f"/v1/contacts/{accepted['contact_id']}"))["language"] == found
    assert {event["language"] for event in await intake.published()} == {"de", "gsw"}
