"""Synthetic speech with known word times, made by espeak-ng's C library: what cutting is measured against.

espeak-ng tells at which sample each word and each pause begins, so the truth is exact. Where the library isn't
installed, tests that need it are skipped and say so (`needs_espeak`); CI installs it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.records import Span, Word

FloatArray = npt.NDArray[np.float32]

RATE = 22_050  # espeak-ng's own
VOICES = {"en": "en-us", "zh": "cmn"}  # where espeak-ng's name isn't the language's code

_WORD, _PHONEME = 1, 7
_PAUSES = (b"_", b"_:", b"_!", b"__")
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 0x0001, 0x8000
_UTF8, _BY_CHARACTER, _SPEED, _PITCH = 1, 1, 1, 3

# At least 14 sentences each: short, long, with clauses, questions, exclamations, numbers written as words.
SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "Good morning.",
        "The old lighthouse keeper climbed the stairs every evening at sunset.",
        "Where did you put the keys?",
        "When the rain stopped, the children ran outside, and nobody called them back.",
        "It was the best bread in the whole village!",
        "Doctors, teachers, farmers and sailors met at the market on Saturday.",
        "She opened the letter slowly, read it twice, and smiled.",
        "A small boat crossed the lake without a sound.",
        "Yes, of course.",
        "Nothing in the house had changed since the winter, except for the clock in the hall.",
        "Could you tell me how far it is to the station?",
        "My brother plays the trumpet, which is not always a pleasure for the neighbours.",
        "The train to the north leaves at half past seven.",
        "He forgot his umbrella again.",
        "We painted the kitchen yellow, because the room gets little light.",
        "Stop right there!",
    ),
    "de": (
        "Guten Morgen.",
        "Der alte Leuchtturmwärter stieg jeden Abend bei Sonnenuntergang die Treppe hinauf.",
        "Wo hast du die Schlüssel hingelegt?",
        "Als der Regen aufhörte, liefen die Kinder hinaus, und niemand rief sie zurück.",
        "Das war das beste Brot im ganzen Dorf!",
        "Ärzte, Lehrer, Bauern und Matrosen trafen sich am Samstag auf dem Markt.",
        "Sie öffnete langsam den Brief, las ihn zweimal und lächelte.",
        "Ein kleines Boot fuhr lautlos über den See.",
        "Ja, natürlich.",
        "Im Haus hatte sich seit dem Winter nichts verändert, außer der Uhr im Flur.",
        "Können Sie mir sagen, wie weit es bis zum Bahnhof ist?",
        "Mein Bruder spielt Trompete, was für die Nachbarn nicht immer ein Vergnügen ist.",
        "Der Zug nach Norden fährt um halb acht ab.",
        "Er hat schon wieder seinen Regenschirm vergessen.",
        "Wir haben die Küche gelb gestrichen, weil der Raum wenig Licht bekommt.",
    ),
    "fr": (
        "Bonjour à tous.",
        "Le vieux gardien du phare montait chaque soir les marches au coucher du soleil.",
        "Où as-tu mis les clés ?",
        "Quand la pluie cessa, les enfants coururent dehors, et personne ne les rappela.",
        "C'était le meilleur pain de tout le village !",
        "Des médecins, des professeurs, des paysans et des marins se retrouvaient au marché.",
        "Elle ouvrit lentement la lettre, la lut deux fois et sourit.",
        "Un petit bateau traversa le lac sans un bruit.",
        "Oui, bien sûr.",
        "Rien n'avait changé dans la maison depuis l'hiver, sauf l'horloge du couloir.",
        "Pouvez-vous me dire à quelle distance se trouve la gare ?",
        "Mon frère joue de la trompette, ce qui n'est pas toujours un plaisir pour les voisins.",
        "Le train pour le nord part à sept heures et demie.",
        "Il a encore oublié son parapluie.",
        "Nous avons peint la cuisine en jaune, parce que la pièce reçoit peu de lumière.",
    ),
    "es": (
        "Buenos días.",
        "El viejo farero subía las escaleras cada tarde al ponerse el sol.",
        "¿Dónde pusiste las llaves?",
        "Cuando paró la lluvia, los niños salieron corriendo, y nadie los llamó.",
        "¡Era el mejor pan de todo el pueblo!",
        "Médicos, maestros, campesinos y marineros se reunían en el mercado el sábado.",
        "Ella abrió despacio la carta, la leyó dos veces y sonrió.",
        "Un pequeño barco cruzó el lago sin hacer ruido.",
        "Sí, claro.",
        "Nada había cambiado en la casa desde el invierno, salvo el reloj del pasillo.",
        "¿Puede decirme a qué distancia está la estación?",
        "Mi hermano toca la trompeta, lo cual no siempre es un placer para los vecinos.",
        "El tren hacia el norte sale a las siete y media.",
        "Otra vez olvidó su paraguas.",
    ),
    "it": (
        "Buongiorno a tutti.",
        "Il vecchio guardiano del faro saliva le scale ogni sera al tramonto.",
        "Dove hai messo le chiavi?",
        "Quando la pioggia cessò, i bambini corsero fuori, e nessuno li richiamò.",
        "Era il pane più buono di tutto il paese!",
        "Medici, maestri, contadini e marinai si incontravano al mercato il sabato.",
        "Lei aprì lentamente la lettera, la lesse due volte e sorrise.",
        "Una piccola barca attraversò il lago senza fare rumore.",
        "Sì, certo.",
        "Nella casa non era cambiato nulla dall'inverno, tranne l'orologio nel corridoio.",
        "Può dirmi quanto dista la stazione?",
        "Mio fratello suona la tromba, il che non è sempre un piacere per i vicini.",
        "Il treno per il nord parte alle sette e mezza.",
        "Ha dimenticato di nuovo l'ombrello.",
    ),
    "pl": (
        "Dzień dobry.",
        "Stary latarnik wchodził po schodach każdego wieczoru o zachodzie słońca.",
        "Gdzie położyłeś klucze?",
        "Kiedy deszcz ustał, dzieci wybiegły na dwór, i nikt ich nie zawołał.",
        "To był najlepszy chleb w całej wsi!",
        "Lekarze, nauczyciele, rolnicy i marynarze spotykali się w sobotę na targu.",
        "Powoli otworzyła list, przeczytała go dwa razy i uśmiechnęła się.",
        "Mała łódka przepłynęła jezioro bez jednego dźwięku.",
        "Tak, oczywiście.",
        "W domu nic się nie zmieniło od zimy, oprócz zegara w korytarzu.",
        "Czy może mi pan powiedzieć, jak daleko jest do dworca?",
        "Mój brat gra na trąbce, co nie zawsze jest przyjemnością dla sąsiadów.",
        "Pociąg na północ odjeżdża o wpół do ósmej.",
        "Znowu zapomniał parasola.",
    ),
    "ru": (
        "Доброе утро.",
        "Старый смотритель маяка поднимался по лестнице каждый вечер на закате.",
        "Куда ты положил ключи?",
        "Когда дождь кончился, дети выбежали на улицу, и никто их не позвал.",
        "Это был лучший хлеб во всей деревне!",
        "Врачи, учителя, крестьяне и моряки встречались в субботу на рынке.",
        "Она медленно открыла письмо, прочитала его дважды и улыбнулась.",
        "Маленькая лодка беззвучно пересекла озеро.",
        "Да, конечно.",
        "В доме ничего не изменилось с зимы, кроме часов в коридоре.",
        "Вы не скажете, далеко ли до вокзала?",
        "Мой брат играет на трубе, что не всегда радует соседей.",
        "Поезд на север отходит в половине восьмого.",
        "Он снова забыл свой зонт.",
    ),
    "cs": (
        "Dobré ráno.",
        "Starý strážce majáku stoupal každý večer při západu slunce po schodech.",
        "Kam jsi dal klíče?",
        "Když déšť přestal, děti vyběhly ven, a nikdo je nezavolal zpátky.",
        "Byl to nejlepší chléb v celé vesnici!",
        "Lékaři, učitelé, sedláci a námořníci se v sobotu scházeli na trhu.",
        "Pomalu otevřela dopis, dvakrát ho přečetla a usmála se.",
        "Malá loďka přeplula jezero bez jediného zvuku.",
        "Ano, samozřejmě.",
        "V domě se od zimy nic nezměnilo, kromě hodin na chodbě.",
        "Můžete mi říct, jak daleko je to na nádraží?",
        "Můj bratr hraje na trubku, což pro sousedy není vždycky potěšení.",
        "Vlak na sever odjíždí v půl osmé.",
        "Zase si zapomněl deštník.",
    ),
    "tr": (
        "Herkese günaydın.",
        "Yaşlı fener bekçisi her akşam gün batımında merdivenleri çıkardı.",
        "Anahtarları nereye koydun?",
        "Yağmur durunca, çocuklar dışarı koştu, ve kimse onları geri çağırmadı.",
        "Bütün köydeki en güzel ekmek buydu!",
        "Doktorlar, öğretmenler, çiftçiler ve denizciler cumartesi günü pazarda buluşurdu.",
        "Mektubu yavaşça açtı, iki kez okudu ve gülümsedi.",
        "Küçük bir tekne gölü sessizce geçti.",
        "Evet, tabii.",
        "Kıştan beri evde hiçbir şey değişmemişti, koridordaki saat dışında.",
        "İstasyonun ne kadar uzakta olduğunu söyleyebilir misiniz?",
        "Kardeşim trompet çalıyor, bu komşular için her zaman bir zevk değil.",
        "Kuzeye giden tren yedi buçukta kalkıyor.",
        "Yine şemsiyesini unuttu.",
    ),
    "zh": (
        "早上好。",
        "老灯塔看守每天日落时都爬上楼梯。",
        "你把钥匙放在哪里了？",
        "雨停了以后，孩子们跑了出去，没有人叫他们回来。",
        "这是全村最好吃的面包！",
        "她慢慢打开信，读了两遍，笑了。",
        "一只小船静静地划过湖面。",
        "当然可以。",
        "从冬天到现在，家里什么都没有变，除了走廊里的钟。",
        "请问到车站有多远？",
        "我弟弟吹小号，邻居们并不总是高兴。",
        "往北的火车七点半开。",
        "他又忘了带雨伞。",
        "我们把厨房刷成了黄色，因为那个房间光线很少。",
    ),
}


@dataclass(frozen=True)
class Spoken:
    """Speech whose truth is known."""

    samples: FloatArray  # mono at RATE
    words: tuple[Word, ...]
    pauses: tuple[Span, ...]  # where nothing is said: between words, before the first and after the last
    sentence_ends: frozenset[int] = frozenset()  # indices of the words that end a sentence

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@cache
def _library() -> Any:
    """Return espeak-ng's library, started; None where it isn't installed."""
    for name in ("libespeak-ng.so.1", ctypes.util.find_library("espeak-ng"), "libespeak-ng.dylib", "libespeak-ng.dll"):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library and library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _DONT_EXIT) == RATE:
            return library
    return None


needs_espeak = pytest.mark.skipif(
    _library() is None, reason="espeak-ng isn't installed: run `apt install espeak-ng` (CI has it)"
)


def say(text: str, language: str = "en", *, speed: int = 165, pitch: int = 50, variant: str = "") -> Spoken:
    """Speak one text as espeak-ng does: `speed` in words a minute, `pitch` 0 to 99, `variant` such as "f2"."""
    library = _library()
    chunks: list[FloatArray] = []
    events: list[tuple[int, int, int, bytes]] = []

    @_CALLBACK
    def collect(samples: Any, count: int, event: Any) -> int:
        if samples and count:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / np.float32(32768))
        for number in range(1_000_000):
            one = event[number]
            if not one.type:
                return 0
            name = bytes(one.id.string) if one.type == _PHONEME else b""
            events.append((one.type, one.text_position, one.sample, name))
        return 0

    library.espeak_SetSynthCallback(collect)
    voice = VOICES.get(language, language) + (f"+{variant}" if variant else "")
    if library.espeak_SetVoiceByName(voice.encode()):
        raise ValueError(f"espeak-ng has no voice {voice}")
    library.espeak_SetParameter(_SPEED, speed, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None)
    samples = np.concatenate(chunks)
    words = _timed(list(_tokens(text, language)), events, len(samples))
    return Spoken(samples, words, _pauses(words, len(samples) / RATE), frozenset({len(words) - 1}))


def _tokens(text: str, language: str) -> Iterator[tuple[int, int, str]]:
    """Give each word with its punctuation, and where in the text it begins and ends, counted from 1."""
    if language in ("zh", "ja"):
        start = 0
        for place, letter in enumerate(text):
            if letter.isalnum() and place > start:
                yield start + 1, place, text[start:place]
                start = place
        yield start + 1, len(text), text[start:]
        return
    place = 0
    for token in text.split():
        place = text.index(token, place)
        yield place + 1, place + len(token), token
        place += len(token)


def _timed(
    tokens: Sequence[tuple[int, int, str]], events: Sequence[tuple[int, int, int, bytes]], samples: int
) -> tuple[Word, ...]:
    """Give each token its time: from its first event to the next word's or the next pause's."""
    pauses = [sample for kind, _, sample, name in events if name in _PAUSES]
    starts: dict[int, int] = {}
    for kind, position, sample, _ in events:
        for number, (first, last, _) in enumerate(tokens):
            if kind == _WORD and first <= position <= last:
                starts.setdefault(number, sample)
    spoken = [*sorted(starts), len(tokens)]
    words = []
    for number, following in pairwise(spoken):
        limit = starts.get(following, samples)
        end = min((pause for pause in pauses if starts[number] < pause <= limit), default=limit)
        # A token that isn't said goes with the one before: French puts a space before its question mark.
        text = " ".join(token for _, _, token in tokens[number:following])
        words.append(Word(text, starts[number] / RATE, end / RATE))
    return tuple(words)


def _pauses(words: Sequence[Word], seconds: float) -> tuple[Span, ...]:
    edges = [0.0, *(time for word in words for time in (word.start, word.end)), seconds]
    return tuple(Span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)


def tell(parts: Sequence[Spoken], pauses: Sequence[float]) -> Spoken:
    """Join what was spoken: before each part, and after the last, a silence of the given seconds (one more than parts).

    espeak-ng's own silence at the end of a part is cut away first, but for 30 ms in which the sound dies away.
    """
    pieces: list[FloatArray] = []
    words: list[Word] = []
    ends: set[int] = set()
    place = 0
    for part, pause in zip(parts, pauses, strict=False):
        silence = np.zeros(round(pause * RATE), np.float32)
        kept = part.samples[: round((part.words[-1].end + 0.03) * RATE)]
        place += len(silence)
        ends |= {end + len(words) for end in part.sentence_ends}
        words += [replace(word, start=word.start + place / RATE, end=word.end + place / RATE) for word in part.words]
        pieces += [silence, kept]
        place += len(kept)
    pieces.append(np.zeros(round(pauses[len(parts)] * RATE), np.float32))
    samples = np.concatenate(pieces)
    return Spoken(samples, tuple(words), _pauses(words, len(samples) / RATE), frozenset(ends))


def jitter(words: Sequence[Word], seconds: float, random: np.random.Generator) -> tuple[Word, ...]:
    """Give words wrong times as a rough Whisper does: each edge off by up to `seconds`, in order all the same."""
    edges = np.array([[word.start, word.end] for word in words])
    edges = np.sort(np.maximum(edges + random.uniform(-seconds, seconds, edges.shape), 0).ravel()).reshape(-1, 2)
    return tuple(replace(word, start=float(a), end=float(b)) for word, (a, b) in zip(words, edges, strict=True))


def add_noise(samples: FloatArray, snr: float, random: np.random.Generator) -> FloatArray:
    """Add white noise, `snr` dB under the speech."""
    speech = np.sqrt((samples[np.abs(samples) > 0.01] ** 2).mean())
    noise = random.standard_normal(len(samples)).astype(np.float32)
    return (samples + noise * np.float32(speech * 10 ** (-snr / 20))).astype(np.float32)


def story(language: str, count: int, seed: int, *, pauses: tuple[float, float] = (0.35, 1.1), **voice: Any) -> Spoken:
    """Tell `count` sentences of the language, drawn in random order, with random pauses between them (low and high)."""
    random = np.random.default_rng(seed)
    known = SENTENCES[language]
    order = np.concatenate([random.permutation(len(known)) for _ in range(-(-count // len(known)))])[:count]
    parts = [say(known[number], language, **voice) for number in order]
    return tell(parts, random.uniform(*pauses, count + 1).tolist())
