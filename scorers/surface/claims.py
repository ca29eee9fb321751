"""What a turn says of the model that wrote it: another model's name, a cutoff, a refusal.

The phrases are ours. Claims are looked for in the first person and in the languages that most
instruction data is in; what is told of a model is no claim. Code, and what a quotation mark opens,
does not count, since stories and explanations quote such sentences.
"""

from collections.abc import Sequence

from siftline.contracts.patterns import linear_pattern
from siftline.scorers.fault_places import quoted
from siftline.scorers.phrase_search import spelled
from siftline.scorers.phrases import REFUSALS
from siftline.scorers.surface.check import Check, Turn, escaped, without_code

# Assistants and their makers that instruction data was commonly written with.
IDENTITIES = (
    "ChatGPT",
    "GPT-3",
    "GPT-3.5",
    "GPT-4",
    "GPT-4o",
    "OpenAI",
    "Claude",
    "Anthropic",
    "Gemini",
    "Bard",
    "Google",
    "Google DeepMind",
    "Copilot",
    "Microsoft",
    "Llama",
    "Meta AI",
    "Mistral",
    "Mistral AI",
    "Mixtral",
    "Qwen",
    "Tongyi Qianwen",
    "\u901a\u4e49\u5343\u95ee",
    "Alibaba Cloud",
    "\u963f\u91cc\u4e91",
    "DeepSeek",
    "\u6df1\u5ea6\u6c42\u7d22",
    "Grok",
    "xAI",
    "Vicuna",
    "LMSYS",
    "Open Assistant",
    "ERNIE Bot",
    "\u6587\u5fc3\u4e00\u8a00",
    "Baidu",
    "ChatGLM",
    "Zhipu AI",
    "Kimi",
    "Moonshot AI",
    "YandexGPT",
    "GigaChat",
)
_MODEL = (
    r"(?:[\w-]+ ){0,6}?(?:model|assistant|chatbot|bot|AI|LLM|system|program)"
    r"(?:,? (?:which|that) (?:is|was))?"
)
_MADE = r"(?:created|developed|trained|made|built|designed|programmed|powered|engineered)"
# `NAME` is any of the names; what is before it must begin a claim in the first person.
_CLAIMS = (
    (
        rf"(?i:\bI(?:['\x{{2019}}]m| am)) (?i:{_MODEL},? (?:(?:called|named|known as|from"
        rf"|{_MADE} by),? )+(?:the )?(?:(?:team|company|people|researchers) (?:at )?)?)NAME"
    ),
    (
        r"(?i:\bI(?:['\x{2019}]m| am)) NAME(?:[.!?,;\n]|\s*$| (?i:an?|the|and|by|from|from"
        r"|your|developed|created|trained)\b)"
    ),
    r"(?i:\bmy name is) NAME(?:[.!?,;\n]|\s*$| (?i:and|an?)\b)",
    (
        rf"(?i:\bas an? (?:[\w-]+ ){{0,6}}?(?:model|assistant|chatbot|AI|LLM),? (?:that (?:is"
        rf"|was) )?{_MADE} by) NAME"
    ),
    (
        rf"(?i:\bI (?:was|am|have been|['\x{{2019}}]ve been) (?:\w+ly )?{_MADE} by (?:the )?"
        rf"(?:(?:team|company|people|researchers) (?:at )?)?)NAME"
    ),
    r"(?i:\bmy (?:creators?|developers?|makers?)(?:,| is| are| at)) NAME",
    r"(?i:\b(?:ich bin|je suis|yo soy|soy|sono|eu sou|sou o?)) NAME(?:[.!?,;\n]|\s*$)",
    r"(?i:\bich wurde von) NAME (?i:entwickelt|trainiert|erstellt|geschaffen)",
    (
        r"(?i:j['\x{2019}]ai \x{00E9}t\x{00E9} (?:d\x{00E9}velopp\x{00E9}|cr\x{00E9}\x{00E9}"
        r"|entra\x{00EE}n\x{00E9})e? par) NAME"
    ),
    (
        r"(?i:\b(?:fui|he sido) (?:creado|desarrollado|entrenado|criado|desenvolvido"
        r"|treinado)a? (?:por|pela)) (?:a )?NAME"
    ),
    r"(?:\x{6211}\x{662F}|\x{6211}\x{53EB})(?:\x{4E00}\x{4E2A})?(?:\x{7531})?\s*NAME",
    r"(?:\x{79C1}\x{306F}|\x{50D5}\x{306F})\s*NAME",
    (
        r"(?:\x{042F}|\x{043C}\x{0435}\x{043D}\x{044F}"
        r" \x{0437}\x{043E}\x{0432}\x{0443}\x{0442})(?: \x{2014}| -)? NAME"
    ),
)
# A text that speaks of a model: without that, Claude and Gemini may be anybody.
_OF_A_MODEL = linear_pattern(
    r"(?:\b(?:AI|A\.I\.|KI|IA|LLM|assistant|assistente|asistente|assistent|chatbot|bot"
    r"|language model|artificial intelligence|Sprachmodell|mod\x{E8}le|modelo|modello)\b"
    r"|\x{4EBA}\x{5DE5}\x{667A}\x{80FD}|\x{52A9}\x{624B}|\x{6A21}\x{578B}|\x{30E2}\x{30C7}\x{30EB}"
    r"|\x{418}\x{418}|\x{43C}\x{43E}\x{434}\x{435}\x{43B}\x{44C}"
    r"|\x{430}\x{441}\x{441}\x{438}\x{441}\x{442}\x{435}\x{43D}\x{442})",
    ignore_case=True,
)
_ASKS_THE_MODEL = linear_pattern(
    r"\b(?:are|were|who|what|which|did|is|has|made|created|trained|developed) (?:\w+ ){0,2}"
    r"(?:you|your)\b"
    r"|\byou(?:['\x{2019}]re| are)? (?:a |an |the )?(?:\w+ )?(?:model|ai|bot|assistant)\b",
    ignore_case=True,
)
_CUTOFFS = (
    (
        r"\bas of my (?:own |current )?knowledge\b|\bmy knowledge (?:is )?(?:up to|until) "
        r"(?:\w+ )?20\d\d"
    ),
    (
        r"\bI (?:do not|don['\x{2019}]t|can(?:no|['\x{2019}])t) (?:currently )?(?:have"
        r"|access) (?:access to )?(?:any |the )?(?:real-?time|up-to-date|live)\b"
    ),
    r"\bmy (?:knowledge|training|training data|data)(?: \w+)? ?cut-?\s?off",
    (
        r"\b(?:as of|until|since|up to|after|before|at the time of) my (?:last |latest |most"
        r" recent |current |own )*(?:knowledge|training|data)?\s?(?:update|cut-?\s?off"
        r"|training)\b"
    ),
    r"\bmy (?:last|latest|most recent) (?:knowledge |training |data )?(?:update|cut-?\s?off)\b",
    (
        r"\bmy (?:training )?(?:knowledge|data|information)(?: base)? (?:is|was|are|were)? ?"
        r"(?:only )?(?:current |up to date |up-to-date |limited |last updated |updated "
        r"|accurate |based |extends? |goes |ends |stops )(?:only )?(?:to|as of|up to|until"
        r"|through|in|on (?:data|information) (?:up to|until|available))\b"
    ),
    (
        r"\bmy training (?:data )?(?:only )?(?:includes|extends|goes up|ended|ends|was"
        r" completed|was last)\b"
    ),
    r"\b(?:ai|language) model with (?:a )?knowledge (?:cut-?\s?off|up to)",
    r"\bmein(?:es?|em)? (?:letzte[sn]? (?:wissens)?update|wissensstand|trainingsdaten enden)",
    r"\bmein wissen (?:reicht|endet|geht)\b",
    (
        r"\bma derni\x{00E8}re mise \x{00E0} jour|\bdate (?:limite|de coupure) de mes"
        r" connaissances|\bmes connaissances s['\x{2019}]arr\x{00EA}tent"
    ),
    (
        r"\bmi (?:\x{00FA}ltima actualizaci\x{00F3}n|fecha de corte)|\bfecha de corte de mis?"
        r" (?:conocimientos?|datos)|\bmi conocimiento (?:llega|se limita|est\x{00E1}"
        r" actualizado)"
    ),
    (
        r"\bminha \x{00FA}ltima atualiza\x{00E7}\x{00E3}o|\bmeu conhecimento (?:vai"
        r"|est\x{00E1} limitado|foi atualizado)"
    ),
    (
        r"\x{6211}\x{7684}(?:\x{77E5}\x{8BC6}|\x{8BAD}\x{7EC3}\x{6570}\x{636E})(?:\x{5E93})?"
        r"(?:\x{66F4}\x{65B0})?(?:\x{622A}\x{6B62}|\x{622A}\x{81F3}|\x{66F4}\x{65B0}\x{5230})"
        r"|\x{622A}\x{81F3}\x{6211}(?:\x{7684})?\x{6700}\x{540E}"
        r"(?:\x{4E00}\x{6B21})?\x{66F4}\x{65B0}"
    ),
    (
        r"\x{79C1}\x{306E}(?:\x{77E5}\x{8B58}"
        r"|\x{5B66}\x{7FD2}\x{30C7}\x{30FC}\x{30BF})\x{306F}.{0,20}\x{307E}\x{3067}"
    ),
)
_CUTOFF = "|".join(_CUTOFFS)
# Of the phrases that open a refusal in `rules`, those that refuse wherever a sentence begins with
# them, and some that are too rare as an opening to stand there.
_LOOSE = ("sorry, but", "sorry but", "apologize, but", "apologise, but", "able to", "unable to")
_INABILITIES = ("i cannot", "i am unable to", "i am not able to")
_DEEDS = ("provide", "assist", "help", "fulfill", "comply", "generate", "create")
REFUSING = tuple(
    dict.fromkeys(
        (
            *(each for each in REFUSALS if not each.endswith((*_LOOSE, "answer", "complete"))),
            *(f"{unable} {deed}" for unable in _INABILITIES for deed in _DEEDS),
            *(f"i am sorry, but {unable}" for unable in _INABILITIES),
            "lo siento, pero no puedo",
            "desculpe, mas n\u00e3o posso",
            "mi dispiace, ma non posso",
            "je suis d\u00e9sol\u00e9, mais je ne peux pas",
            "es tut mir leid, aber ich kann",
            "\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5",
            "\u62b1\u6b49\uff0c\u6211\u4e0d\u80fd",
            "\u5bf9\u4e0d\u8d77\uff0c\u6211\u4e0d\u80fd",
            "\u7533\u3057\u8a33\u3042\u308a\u307e\u305b\u3093\u304c",
        )
    )
)
_LEADS = (
    r"(?:but |however,? |unfortunately,? |no,? |i(?: am|['\x{2019}]m) (?:sorry|afraid),? (?:but )?"
    r"|as an? (?:[\w-]+ ){1,5}(?:model|assistant|ai|chatbot),? |as an ai,? ){0,3}"
)
# "I cannot help but wonder" refuses nothing.
_NO_REFUSAL = linear_pattern(
    r"\A,? (?:but|the way|feeling|falling|thinking|wondering|noticing|being|myself|it|how|if)\b",
    ignore_case=True,
)

# What opens a quotation before a claim makes it one of somebody in the text.
_NEAR = 8  # characters in which it stands
_PARAGRAPH = 2000  # characters of a paragraph that are looked at for what opens one
_QUOTES = "\"'\u201c\u201e\u00ab\u2018\u300c"


def foreign_identity(names: Sequence[str]) -> Check:
    """Return the search for claims to be, or to be made by, one of some names.

    A name that a system turn gives is the data's own persona. One that the user brings up is the
    topic, unless the user asks the model about itself ("Are you ChatGPT?").
    """
    either = f"(?:{escaped(names)})" if names else r"[^\s\S]"
    claim = linear_pattern("|".join(_claim(each, either) for each in _CLAIMS))

    def find(turn: Turn) -> str | None:
        text = without_code(turn.text)
        foreign: dict[str, bool] = {}  # by name, so that a text is gone through once for each
        for match in claim.finditer(text):
            name = max((each for each in names if each in match.group()), key=len)
            if name not in foreign:
                told = _is_distinct(name) or _OF_A_MODEL.search(text) is not None
                foreign[name] = told and not _is_given(name, turn)
            if foreign[name] and not _is_quoted(text, match.start()):
                return quoted(turn.text, *match.span())
        return None

    return Check(escaped(names) if names else r"[^\s\S]", find)


def _is_distinct(name: str) -> bool:
    """Return whether a name is no ordinary word or first name: `ChatGPT`, and not `Claude`."""
    return not (name.isascii() and name.isalpha() and name[1:].islower())


def _claim(pattern: str, names: str) -> str:
    """Return a claim with the names in it; a name that ends it is not the beginning of a word."""
    ends = "" if pattern.rpartition("NAME")[2] else r"(?:[^\w-]|\z)"
    return pattern.replace("NAME", names) + ends


def _is_quoted(text: str, start: int) -> bool:
    return text[max(0, start - _NEAR) : start].rstrip()[-1:] in tuple(_QUOTES)


def _is_given(name: str, turn: Turn) -> bool:
    """Return whether the turns before give a name, and the user does not ask for the model's."""
    folded = name.casefold()
    for message in turn.earlier:
        if message["role"] == "system" and folded in message["content"].casefold():
            return True
    users = [m["content"] for m in turn.earlier if m["role"] == "user"]
    named = any(folded in text.casefold() for text in users)
    return named and not (users and _ASKS_THE_MODEL.search(users[-1]))


_CUTOFF_PATTERN = linear_pattern(_CUTOFF, ignore_case=True)


def _find_cutoff(turn: Turn) -> str | None:
    text = without_code(turn.text)
    for match in _CUTOFF_PATTERN.finditer(text):
        if not _is_quoted(text, match.start()):
            return quoted(turn.text, *match.span())
    return None


KNOWLEDGE_CUTOFF = Check(f"(?i:{_CUTOFF})", _find_cutoff)


def refusal(phrases: Sequence[str]) -> Check:
    """Return the search for refusals that begin a sentence anywhere in an answer."""
    begins = "|".join(spelled(phrase) for phrase in phrases) if phrases else r"[^\s\S]"
    starts = "^[ \t>*]*|[.!?:]['\")]?\\s+|[\u3002\uff01\uff1f]\\s*"
    pattern = f"(?im:(?:{starts}){_LEADS}(?:{begins}))"
    sentence = linear_pattern(pattern)

    def find(turn: Turn) -> str | None:
        text = without_code(turn.text)
        for match in sentence.finditer(text):
            if not _inside_quotation(text, match.end()) and not _NO_REFUSAL.search(
                text[match.end() : match.end() + 20]
            ):
                return quoted(turn.text, *match.span())
        return None

    return Check(pattern, find)


def _inside_quotation(text: str, place: int) -> bool:
    """Return whether quotation marks are open at a place of its paragraph."""
    begin = max(0, place - _PARAGRAPH)
    before = text[max(begin, text.rfind("\n", begin, place) + 1) : place]
    straight = before.count('"') % 2 == 1
    return straight or before.rfind("\u201c") > before.rfind("\u201d")
