"""The codes of languages that can be found: ISO 639-1, or 639-3 where a language has no such code.

Both scripts of Chinese are `zh`, and Norwegian Bokmål is `no`, as the fast detector has it.
"""

_FAST = (
    "af am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co "
    "cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gsw gu gv "
    "he hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la "
    "lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne "
    "new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si "
    "sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu "
    "xal xmf yi yo yue zh"
)
_LINGUA = (
    "af ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gu he hi hr hu hy id is it "
    "ja ka kk ko la lg lt lv mi mk mn mr ms nl nn no pa pl pt ro ru sk sl sn so sq sr st sv sw ta "
    "te th tl tn tr ts uk ur vi xh yo zh zu"
)

FAST_CODES = frozenset(_FAST.split())
LINGUA_CODES = frozenset(_LINGUA.split())
CODES = FAST_CODES | LINGUA_CODES

# What a detector calls otherwise. `als` is the name of a Wikipedia: the code is Tosk Albanian's.
_OF_FAST = {"als": "gsw"}
_OF_LINGUA = {"nb": "no"}
_TO_LINGUA = {code: label for label, code in _OF_LINGUA.items()}


def fast_code(label: str) -> str:
    """Return the code of a language as the fast detector names it."""
    return _OF_FAST.get(label, label)


def lingua_code(label: str) -> str:
    """Return the code of a language as lingua names it."""
    return _OF_LINGUA.get(label, label)


def lingua_label(code: str) -> str:
    """Return what lingua calls a language."""
    return _TO_LINGUA.get(code, code)
