"""What a question in another language than English says beside what it is about: its common words, and "I".

English has its own list (``question.STOPWORDS``), which is the rule where no other language is plainly meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from langchain_memllm.factindex import plain

__all__ = ["Language", "language_of"]


@dataclass(frozen=True, slots=True)
class Language:
    """The common words of a language, without accents.

    Args:
        code: ISO 639-1.
        stopwords: Words that say nothing of what a text is about.
        first_person: Words that say I, my, we or our: pronouns as subject or owner, and common verbs where a language
            leaves the pronoun out. Not "me" as the one who is told something.
        endings: Of words that say "I" by their ending; with accents, as what follows.
        requests: Phrases in which "I" does not ask about the person who speaks ("how do I").
        seams: What a text does not set apart by spaces: "Oscarの仕事", "d'Anna".
        letters: Letters that the others do not have.
    """

    code: str
    stopwords: frozenset[str]
    first_person: frozenset[str]
    endings: re.Pattern[str] | None = None
    requests: re.Pattern[str] | None = None
    seams: re.Pattern[str] | None = None
    letters: re.Pattern[str] | None = None

    def spaced(self, text: str) -> str:
        """A text with a space between its words wherever that can be told."""
        return text if self.seams is None else self.seams.sub(lambda found: f" {found[0]} ", text)

    def is_common(self, word: str) -> bool:
        """Whether a word says nothing of what a text is about."""
        return plain(word) in self.stopwords

    def says_i(self, words: Iterable[str]) -> bool:
        """Whether one of the words says "I" or "my"."""
        endings = self.endings
        return any(
            plain(word) in self.first_person or (endings is not None and endings.fullmatch(word) is not None)
            for word in words
        )

    def is_personal(self, words: Iterable[str]) -> bool:
        """Whether a text of these words asks about the person who speaks."""
        if self.requests is not None:
            words = self.requests.sub(" ", " ".join(words)).split()
        return self.says_i(words)


def _language(
    code: str,
    stopwords: str,
    first_person: str,
    *,
    endings: str = "",
    requests: str = "",
    seams: re.Pattern[str] | None = None,
    letters: str = "",
) -> Language:
    own = _words(first_person)
    return Language(
        code,
        _words(stopwords) | own,
        own,
        re.compile(endings) if endings else None,
        re.compile(requests) if requests else None,
        seams,
        re.compile(letters) if letters else None,
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(plain(text.casefold()).split())


_KANA: Final = "\u3040-\u30ff"
_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff"
_HANGUL: Final = "\uac00-\ud7a3"
_ELISION: Final = re.compile(r"(?<=[cdjlmnstuv])['’](?=\w)", re.IGNORECASE)  # l'adresse, dov'è; not O'Brien


def _unspaced(code: str, stopwords: str, first_person: str, *, requests: str = "") -> Language:
    """A language that is written without spaces: they are put around its common words, and where the script changes."""
    common = sorted((stopwords + " " + first_person).split(), key=len, reverse=True)
    script = f"[{_KANA}{_HAN}]"
    edges = rf"(?<=[A-Za-z0-9])(?={script})|(?<={script})(?=[A-Za-z0-9])"
    seams = re.compile(f"{'|'.join(common)}|{edges}")
    return _language(code, stopwords, first_person, requests=requests, seams=seams)


_LATIN: Final = (
    _language(
        "de",
        """der die das dem den des ein eine einen einem einer eines und oder aber ist sind war waren bin bist sein wird
        werden wurde wurden worden hat habe haben hatte hatten kann können könnte soll sollte muss müssen darf will
        wollte möchte wer wen wem wessen wie was wo wohin woher wann warum wieso weshalb welche welcher welches welchen
        welchem womit wofür woran worauf wovon wovor wozu im in am an auf aus bei beim mit nach von vom vor zu zum zur
        für über unter um durch ohne gegen seit bis zwischen nicht kein keine keinen noch schon auch nur sehr mal denn
        dann da hier dort es er sie sich dir dich du dein deine man so als dass ob heißt heiße heißen eigentlich bitte
        gibt viel viele etwas""",
        "ich mir mich uns mein meine meinen meinem meiner meines wir unser unsere unseren unserem unserer",
        requests=r"\bwie (?:kann|könnte|soll|sollte|mache|schreibe|sage|komme|bekomme) (?:ich|wir)\b"
        r"|\b(?:sage?|erzähle?|gib|zeige?|erkläre?|hilf|schreibe?|nenne?|kannst du|könntest du) (?:mir|uns)\b",
        letters="ß",
    ),
    _language(
        "fr",
        """le la les l un une des du de d et ou mais est sont était suis es êtes être été a ai as ont avait avoir
        fait faire peut peux dois doit veut veux vais va qui que qu quoi quel quelle quels quelles lequel laquelle où
        quand comment combien pourquoi à au aux en dans sur sous par pour avec sans chez vers depuis ce c cet cette ces
        ça cela il elle ils elles on se s ne n pas plus moins très aussi y te t tu toi vous votre vos ton ta
        tes son sa ses leur leurs si appelle est-ce svp""",
        "je j me m moi mon ma mes nous notre nos mien mienne",
        seams=_ELISION,
        requests=r"\bcomment (?:(?:puis|pourrais|dois).je|(?:est.ce que )?je (?:peux|dois|fais))\b"
        r"|\b(?:dis|donne|montre|explique|raconte|aide|écris).(?:moi|nous)\b"
        r"|\b(?:peux.tu|tu peux|pourrais.tu|pouvez.vous|vous pouvez) (?:me|m|nous)\b",
        letters="[œ]",
    ),
    _language(
        "es",
        """el la los las un una unos unas lo y e o u pero es son era fue ser estar está están estaba hay ha han había
        he haber tiene tienen hace hacer puede puedo debe va qué que quién quiénes cuál cuáles cómo dónde adónde cuándo
        cuánto cuánta cuántos cuántas por para con sin de del a al en sobre entre desde hasta hacia se si no ni muy más
        menos ya también te le les tu tus su sus este esta estos estas ese esa eso llama llamo aquí así ahí allí""",
        """yo me mí nos mi mis mío mía míos mías nosotros nosotras nuestro nuestra nuestros nuestras soy
        estoy tengo vivo trabajo
        nací tuve fui hice quiero debo voy uso conozco necesito llevo tomo bebo juego
        toco conduzco estudio aprendo odio pago compro gasto guardo hablo prefiero mido peso calzo salgo vuelo llego
        tenemos vivimos somos estamos fuimos""",
        endings=r"(?!(?:por)?qué|café|bebé|aquí|allí)\w{3,}[éí]",
        requests=r"\bc[oó]mo (?:puedo|podría|debo|hago|se)\b|\bquiero saber\b"
        r"|\b(?:me|nos) (?:puedes|podrías|dices|explicas|das|cuentas|recomiendas|ayudas|escribes)\b",
        letters="[¿¡ñ]",
    ),
    _language(
        "it",
        """il lo la i gli le l un uno una e ed o ma è sono sei era erano essere stato stata ha hai hanno aveva avere fa
        fare può devo deve va vuole che chi cosa qual quale quali come dove dov quando quanto quanta quanti
        quante perché di
        del dello della dei degli delle dell d da dal dalla dall a al allo alla ai alle all in nel nella nei nell su sul
        sulla con per tra fra non si ci c più meno molto anche già ti vi lei lui tuo tua suo sua suoi questo questa
        quello quella chiama chiamo""",
        """io mi me mio mia miei mie noi nostro nostra nostri nostre ho abito vivo lavoro voglio faccio vado
        prendo uso bevo
        mangio suono guido porto studio pago odio gioco parlo devo posso abbiamo abitiamo siamo""",
        seams=_ELISION,
        requests=r"\bcome (?:posso|devo|faccio)\b"
        r"|\bmi (?:puoi|potresti|dici|dai|spieghi|consigli|racconti|aiuti|scrivi)\b",
        letters="[ìò]",
    ),
    _language(
        "pt",
        """o a os as um uma uns umas e ou mas é são era foi ser estar está estão estava há tem têm tinha ter faz fazer
        pode posso deve vai que quem qual quais como onde aonde quando quanto quanta quantos quantas porque por para
        pra com sem de do da dos das a ao à aos às em no na nos nas num numa sobre entre desde até se não nem muito
        mais menos já também te lhe você seu sua seus suas teu tua este esta esse essa isso chama chamo""",
        """eu me mim meu minha meus minhas nós nosso nossa nossos nossas sou estou tenho moro vivo trabalho
        nasci quero devo
        vou fui uso preciso tomo bebo toco dirijo estudo odeio pago jogo falo calço gosto temos moramos somos""",
        endings=r"\w{3,}ei",
        requests=r"\bcomo (?:eu )?(?:posso|devo|faço)\b|\bquero saber\b"
        r"|\bme (?:pode|podes|diz|diga|dá|explica|conta|recomenda|ajuda|escreve)\b",
        letters="[ãõ]",
    ),
    _language(
        "nl",
        """de het een en of maar is zijn was waren ben bent wordt worden werd heb hebt heeft hebben had kan kunnen kon
        moet moeten mag wil wilt zal zou wie wat waar wanneer waarom hoe welk welke hoeveel waarmee waarvoor waarheen in
        op aan bij met van voor naar uit over onder door om te tot tussen zonder sinds niet geen nog al ook maar er
        daar hier dit dat deze die zich je jij jouw jullie u uw hij zij ze haar hem hun heet heten dan als""",
        "ik me mij mijn wij we ons onze",
        requests=r"\bhoe (?:kan|moet|zou|maak|krijg|schrijf) (?:ik|we|wij)\b"
        r"|\b(?:vertel|geef|toon|leg|help|schrijf|kun je|kan je) (?:me|mij|ons)\b",
    ),
    _language(
        "sv",
        """en ett den det de och eller men är var vara varit blir blev har hade ha kan kunde ska skulle måste får vill
        vem vad var vart när varför hur vilken vilket vilka i på av för med till från om under över vid hos mot utan
        mellan inte ingen också bara mycket många här där som att sig dig du din ditt dina han hon han hans hennes
        heter kallas""",
        "jag mig min mitt mina vi vår vårt våra",
        requests=r"\bhur (?:kan|ska|gör|skriver) (?:jag|vi)\b|\b(?:berätta för|ge|visa|hjälp|skriv) (?:mig|oss)\b",
        letters="å",
    ),
    _language(
        "no",
        """en et ei den det de og eller men er var være vært blir ble har hadde ha kan kunne skal skulle må får vil hvem
        hva hvor når hvorfor hvordan hvilken hvilket hvilke hvad hvornår hvilke i på av af for med til fra om under over
        ved hos mot mod uten uden mellom mellem ikke ingen også bare mye meget mange her der som at seg sig
        deg dig du din ditt dine han hun hans hennes hendes heter hedder""",
        "jeg meg mig min mitt mit mine vi vår vårt våre vores",
        requests=r"\bhvor?dan (?:kan|skal|gjør|gør|skriver) (?:jeg|vi)\b|\b(?:gi|giv|vis|hjelp|hjælp"
        r"|skriv) (?:meg|mig|oss)\b",
        letters="[øæ]",
    ),
    _language(
        "pl",
        """i a o w we z ze na do od po za dla przez przy pod nad bez u lub albo ale czy jest są był była było były być
        będzie ma mają miał miała może można trzeba kto kogo komu kim co czego czym jak gdzie dokąd skąd kiedy dlaczego
        ile jaki jaka jakie jakim jakiej jakiego który która które którym której się nie tak też także już jeszcze
        bardzo tylko tu tam ten ta to te tego tej tym cię ci ty twój twoja on ona jego jej ich nazywa imię""",
        """ja mi mnie mną mój moja moje mojego mojej moim moich moją my nasz nasza nasze naszego naszej mam
        jestem mieszkam pracuję
        mogę chcę lubię gram boję płacę biorę piję jem mamy""",
        endings=r"\w+(?:ł[ea]m|uję|żdżę|szę|czę|dzę)",
        requests=r"\bjak (?:mogę|mam|zrobić)\b|\b(?:powiedz|daj|pokaż|wyjaśnij|opowiedz|pomóż|napisz|możesz) mi\b",
        letters="[łżźśćńęą]",
    ),
    _language(
        "tr",
        """ve veya ama ile bir bu şu o da de ki mi mı mu mü ne nedir neyi neden niçin niye nasıl nerede nereye nereden
        kim kimdir kimi kime kimin kiminle hangi hangisi kaç kaçta zaman için gibi kadar var yok değil olan
        olarak en çok
        daha her sen senin adı""",
        "ben beni bana benim bende biz bizim bizde",
        endings=r"\w+(?:yorum|yoruz|[dt][ıiuü][mk]|m[ıiuü]ş[ıiuü]m|[ae]ca[ğk][ıi]m"
        r"|[^aeıioöuü][ıiuü]m(?:[ıiuü]z)?(?:[ıiuü]n|[aeıiuü])?"
        r"|l[ae]r[ıi]m|[ae]m)",
        requests=r"\bnasıl \w+|\bbana \w+",
        letters=r"[şğı]|yoru[mz]\b",
    ),
)
_RUSSIAN: Final = _language(
    "ru",
    """и а но или не ни да же ли бы в во на с со к ко о об от до из у за по под над при про для без через между это этот
    эта эти тот та те то что чего чему чем кто кого кому кем как какой какая какое какие какого какой каком каким где
    куда откуда когда почему зачем сколько чей чья чьё чьи который которая есть был была было были быть будет
    ты тебя тебе твой он она они его её их ей ему себя себе уже ещё тоже только очень там тут здесь зовут
    называется""",
    "я мне меня мной мой моя моё мои моего моей моему моим моих мою мы наш наша наше наши нашего нашей "
    "нашу нашим наших",
    requests=r"\bкак (?:мне|я могу)\b|\b(?:расскажи|скажи|дай|объясни|помоги|покажи|напиши) мне\b",
)
_KOREAN: Final = _language(
    "ko",
    """뭐 뭐야 뭐지 뭔가요 뭐예요 무엇 무엇을 무엇이 무엇인가요 무슨 어떤 어느 어디 어디에 어디서 어디에서 어디야
    누구 누구야 누가 누구와 누구에게 언제 언제야 왜 어떻게 몇 얼마 얼마야 있어 있어요 있나요 이야 이에요 예요 야 은 는
    이 가 을 를 의 에 에서 로 으로 와 과 도 그 저것 이것 그것""",
    "나 나는 난 내 내가 나의 제 제가 저 저는 전 저의 우리 우리의 우리는 우리가 저희",
    seams=re.compile(rf"(?<=[A-Za-z0-9])(?=[{_HANGUL}])"),
)
_JAPANESE: Final = _unspaced(
    "ja",
    "何ですか ですか でしたか でしょうか ますか ましたか 何 誰 どこ どれ いつ どの",
    "私の 私は 私が 私に 私を 私 僕の 僕は 僕が 僕 俺の 俺は 俺 わたしの わたしは わたし ぼくの ぼくは うちの 自分の",
)
_CHINESE: Final = _unspaced(
    "zh",
    "什么 什麼 甚么 哪里 哪裡 哪儿 哪个 哪個 哪些 哪天 哪 谁 誰 怎么 怎麼 怎样 多少 几点 吗 嗎 呢",
    "我们的 我們的 我的 我们 我們 我 咱们 咱 俺",
    requests="我 (?:该|应该|能|可以|要) 怎么|怎么",
)

_ENGLISH_TOO: Final = _words(
    """ad al als bar bij bin c car come comment con d dar das data de del den der des die dig do door dos dove due e ed
    el en era es et far fast fin gram hans has hat hay hon j l la las le les lo los m ma mal man mar mas men mes met
    mi min mit mod mon n nun o ole on pan par pay per peso piano pin plus pod port porto pour pro red s se ser si
    sin so son studio sub sue sur t ta tam tan te ten ti tin toe ton top tu u un uno van vi via vid vino voor w war
    wit y z"""
)
"""Words of those lists that an English text has too: no sign of another language."""


def language_of(text: str, english: Collection[str]) -> Language | None:
    """The language a text is in; None if that is English or its common words do not tell.

    Args:
        text: The text.
        english: Common words of English.
    """
    for script, language in _SCRIPTS if not text.isascii() else ():
        if script.search(text):
            return language
    folded = text.casefold()
    words = _WORD.findall(plain(folded))
    best: tuple[float, Language | None] = (0.0, None)
    for each in _LATIN:
        telling = [w for w in words if w in each.stopwords and w not in english and w not in _ENGLISH_TOO]
        count = len(telling) + (each.letters is not None and each.letters.search(folded) is not None)
        if count > sum(w in english and w not in each.stopwords for w in words):
            rare = sum(1 / _LANGUAGES_OF[w] for w in telling)  # of Spanish and Portuguese, what the other has not
            best = max(best, (count + rare, each), key=lambda pair: pair[0])
    return best[1]


_WORD: Final = re.compile(r"[^\W\d_]+")
_SCRIPTS: Final = (
    (re.compile(f"[{_KANA}]"), _JAPANESE),
    (re.compile(f"[{_HAN}]"), _CHINESE),
    (re.compile(f"[{_HANGUL}]"), _KOREAN),
    (re.compile("[\u0400-\u04ff]"), _RUSSIAN),
)
_LANGUAGES_OF: Final = Counter(word for each in _LATIN for word in each.stopwords)
