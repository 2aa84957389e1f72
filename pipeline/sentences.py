"""A sentence in each language, to try a tokenizer or a voice with."""

from __future__ import annotations

SENTENCES: dict[str, str] = {
    "en": "The morning train was late, but nobody minded.",
    "es": "El tren de la mañana llegó tarde, pero a nadie le importó.",
    "fr": "Le train du matin était en retard, mais personne ne s'en plaignait.",
    "de": "Der Zug am Morgen war spät, aber niemand ärgerte sich.",
    "it": "Il treno del mattino era in ritardo, ma nessuno si lamentava.",
    "pt": "O comboio da manhã chegou tarde, mas ninguém se importou.",
    "pl": "Poranny pociąg się spóźnił, ale nikomu to nie przeszkadzało.",
    "tr": "Sabah treni geç kaldı ama kimse aldırmadı.",
    "ru": "Утренний поезд опоздал, но никто не расстроился.",
    "nl": "De ochtendtrein was te laat, maar niemand vond het erg.",
    "cs": "Ranní vlak měl zpoždění, ale nikomu to nevadilo.",
    "ar": "تأخر قطار الصباح لكن لم ينزعج أحد.",
    "zh": "早班火车晚点了，但是没有人介意。",
    "hu": "A reggeli vonat késett, de senki sem bánta.",
    "ko": "아침 기차가 늦었지만 아무도 신경 쓰지 않았어요.",
    "ja": "朝の電車は遅れましたが、誰も気にしませんでした。",
    "hi": "सुबह की गाड़ी देर से आई, पर किसी ने बुरा नहीं माना।",
}
