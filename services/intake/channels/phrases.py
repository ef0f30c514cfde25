"""How mail programs say "reply", "forwarded", "wrote" and "sent from" in the languages of Europe, and some beyond."""

import re

REPLIES = frozenset((
    *("re", "aw", "antw", "antwort", "sv", "svar", "vs", "ref", "réf", "rép", "ré", "rif", "ris", "r", "res", "resp"),
    *("odp", "odg", "ynt", "yan", "vá", "vá.", "atb", "ats", "odpověď", "odpoveď", "răspuns", "bls", "απ", "σχετ"),
    *("отв", "ответ", "отг", "відп", "на", "回复", "回覆", "答复", "答覆", "返信", "답장", "회신", "رد", "השב", "תגובה", "trả lời"),
))  # fmt: skip
FORWARDS = frozenset((
    *("fw", "fwd", "wg", "weitergeleitet", "tr", "transféré", "rv", "reenv", "enc", "i", "doorst", "doorgestuurd"),
    *("vb", "videresendt", "vl", "pd", "podaj dalej", "ilt", "i̇lt", "tov", "továbbítás", "pren", "prosl", "přep", "trs"),
    *("προωθ", "πρθ", "пересл", "препр", "转发", "轉寄", "轉發", "転送", "전달", "הועבר", "إعادة توجيه", "chuyển tiếp"),
))  # fmt: skip
AUTOMATIC = (
    *("automatic reply", "auto reply", "auto-reply", "autoreply", "auto response", "auto-response", "autoresponse"),
    *("automated reply", "automated response", "out of office autoreply", "out of office", "out of the office", "ooo", "automatische antwort"),
    *("automatische rückmeldung", "abwesenheitsnotiz", "abwesend", "abwesenheit", "réponse automatique", "absence du bureau"),
    *("absent du bureau", "respuesta automática", "respuesta automatica", "autorespuesta", "fuera de la oficina"),
    *("risposta automatica", "fuori sede", "fuori ufficio", "automatisch antwoord", "afwezig", "afwezigheid"),
    *("resposta automática", "resposta automatica", "ausência", "autosvar", "automatiskt svar", "frånvaro", "automatisk svar"),
    *("fraværende", "automaattinen vastaus", "poissa", "odpowiedź automatyczna", "autoodpowiedź", "poza biurem"),
    *("automatická odpověď", "automatická odpoveď", "automatikus válasz", "răspuns automat", "otomatik yanıt"),
    *("автоответ", "автоматический ответ", "автоматична відповідь", "αυτόματη απάντηση", "自動返信", "自动回复", "자동 회신"),
)  # fmt: skip

# The fields of a quoted head ("From: … Sent: … To: … Subject: …"), by what they are.
LABELS = {
    label: kind
    for kind, labels in {
        "from": "from von de da van od från fra lähettäjä feladó de\u00a0la kimden gönderen от від από expéditeur remitente"
        " mittente afzender remetente nadawca avsändare afsender avsender odesílatel expeditor отправитель 差出人 发件人 寄件者"
        " 보낸사람 de_la",
        "date": "date sent datum gesendet envoyé fecha enviado data inviato verzonden enviada wysłane skickat sendt"
        " lähetetty päivämäärä odesláno elküldve dátum dato trimis gönderildi tarih отправлено дата надіслано"
        " ημερομηνία στάλθηκε 送信日時 日付 发送时间 日期 寄件日期 보낸날짜 pvm date_:",
        "to": "to an à a para aan do till til vastaanottaja komu címzett către catre kime alıcı кому προς pour per"
        " destinataire destinatario 宛先 收件人 收件者 받는사람",
        "subject": "subject betreff objet asunto oggetto onderwerp assunto temat ämne emne aihe předmět predmet tárgy"
        " subiect konu тема θέμα sujet 件名 主题 主題 제목",
        "cc": "cc kopie copie copia kopia kopio kopi másolat copy копия bilgi bcc reply-to antwort_an",
    }.items()
    for label in labels.replace("_", " ").split(" ")
} | {"risposta": "cc", "de la": "from", "reply to": "cc", "antwort an": "cc", "répondre à": "cc"}

_WROTE = (
    "quoting|zitat von|citando|citation de|citat från|wrote|writes|said|schrieb|schreibt|hat geschrieben|a écrit|écrivait|escribió|escribio|escribi|ha scritto|scrive|scritto"
    "|schreef|heeft geschreven|geschreven|escreveu|napisał|napisała|napisał\\(a\\)|pisze|skrev|skriver|kirjoitti|napsal"
    "|napsala|napsal\\(a\\)|napísal|írta|a scris|scris|yazdı|написал|написала|написал\\(а\\)|пишет|писал|написав|έγραψε"
    "|napisao|je napisao|je napisal|rašė|rakstīja|kirjutas|escrigué|va escriure|のメール|さんは書きました|写道|작성"
)
WROTE = re.compile(rf"(?:^|\W)(?:{_WROTE})(?:\W|$)", re.IGNORECASE)
BEGINS = re.compile(
    r"(?:on|am|le|el|il|op|em|w dniu|dnia|den|på|dne|dňa|pe|în|на|в|στις|quoting|zitat von|citando|citation de"
    r"|citat från|[\[(]?\d{1,4}[-./年])\b",
    re.IGNORECASE,
)

_FORWARDED = (
    "forwarded message|forwarded by|begin forwarded message|weitergeleitete nachricht|weitergeleitet von"
    "|anfang der weitergeleiteten|message transféré|début du message|message réexpédié|mensaje reenviado"
    "|inicio del mensaje reenviado|messaggio inoltrato|inizio messaggio inoltrato|messaggio originale inoltrato"
    "|doorgestuurd bericht|begin doorgestuurd bericht|mensagem encaminhada|início da mensagem|wiadomość przekazana"
    "|przekazana wiadomość|treść przekazanej|vidarebefordrat meddelande|videresendt meddelelse|videresendt melding"
    "|välitetty viesti|edelleenlähetetty|přeposlaná zpráva|preposlaná správa|továbbított üzenet|mesaj redirecționat"
    "|yönlendirilmiş|iletilen ileti|пересылаемое сообщение|пересланное сообщение|προωθημένο μήνυμα|転送されたメッセージ"
    "|転送メッセージ|转发的邮件|转发邮件"
)
_ORIGINAL = (
    "original message|original appointment|original mail|original email|ursprüngliche nachricht|originalnachricht"
    "|original-nachricht|message d'origine|message d’origine|message original|mensaje original|messaggio originale"
    "|oorspronkelijk bericht|origineel bericht|mensagem original|oryginalna wiadomość|wiadomość oryginalna"
    "|ursprungligt meddelande|originalmeddelande|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti"
    "|původní zpráva|pôvodná správa|eredeti üzenet|mesaj original|orijinal ileti|исходное сообщение|αρχικό μήνυμα"
    "|reply message|元のメッセージ|原始邮件|原始郵件"
)
FORWARDED = re.compile(rf"(?:{_FORWARDED})", re.IGNORECASE)
ORIGINAL = re.compile(rf"(?:{_ORIGINAL})", re.IGNORECASE)

MOBILE = re.compile(
    r"(?:sent (?:from|via|with|using) |get outlook for |von meinem |von (?:unterwegs|iphone)|gesendet (?:von|mit|über) "
    r"|diese nachricht wurde von mein|envoyé (?:de|depuis|à partir|avec) |télécharger outlook|obtenez outlook"
    r"|enviado (?:desde|do|a partir|através|con|via) |obtener outlook|inviato (?:da|dal|con) |verzonden (?:vanaf|met|via) "
    r"|wysłane? z |skickat från |sendt fra |lähetetty |odesláno z|küldve |trimis de |отправлено (?:с|из) |από το "
    r"|iphoneから送信|发自我的|發自我的|나의 )",
    re.IGNORECASE,
)
