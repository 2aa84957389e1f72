"""What XTTS and Whisper know about languages."""

from __future__ import annotations

# XTTS v2's languages: code as on the screen -> English name.
LANGUAGES: dict[str, str] = {
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "de": "German",
    "it": "Italian",
    "pt": "Portuguese",
    "pl": "Polish",
    "tr": "Turkish",
    "ru": "Russian",
    "nl": "Dutch",
    "cs": "Czech",
    "ar": "Arabic",
    "zh": "Chinese",
    "hu": "Hungarian",
    "ko": "Korean",
    "ja": "Japanese",
    "hi": "Hindi",
}

# Characters a text may have before XTTS starts to cut it off: coqui-tts 0.28.0, VoiceBpeTokenizer.char_limits.
CHARACTER_LIMITS: dict[str, int] = {
    "en": 250,
    "es": 239,
    "fr": 273,
    "de": 253,
    "it": 213,
    "pt": 203,
    "pl": 224,
    "tr": 226,
    "ru": 182,
    "nl": 251,
    "cs": 186,
    "ar": 166,
    "zh": 82,
    "hu": 224,
    "ko": 95,
    "ja": 71,
    "hi": 150,
}

# Text tokens a training row may have: GPTArgs.max_text_length in Coqui's XTTS recipe.
MAX_TEXT_TOKENS = 200

# Languages written without spaces between words.
UNSPACED = frozenset({"zh", "ja"})

WHISPER_MODELS: tuple[str, ...] = (
    "tiny.en",
    "tiny",
    "base.en",
    "base",
    "small.en",
    "small",
    "medium.en",
    "medium",
    "large-v1",
    "large-v2",
    "large-v3",
    "large-v3-turbo",
    "turbo",
    "demo",
)
DEFAULT_WHISPER_MODEL = "large-v3"
PRECISIONS: tuple[str, ...] = ("mixed", "float16", "float32")


def tokenizer_language(language: str) -> str:
    """Return the code that XTTS's tokenizer and config use: Chinese is `zh-cn` there."""
    return "zh-cn" if language == "zh" else language


def is_english_only(whisper_model: str) -> bool:
    """Tell whether a Whisper model offered by name hears English only (`.en` and the bundled demo)."""
    return whisper_model.endswith(".en") or whisper_model == "demo"
