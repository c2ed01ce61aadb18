"""Names of people after words that introduce one, in Chinese, English and Spanish."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from edge_runtime.journal.han import GIVEN_LETTERS, SURNAME_LETTERS, is_han
from edge_runtime.journal.redact_numbers import Span

_COMPOUND = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|长孙|宇文|夏侯|端木|独孤"
_SURNAME = f"(?:{_COMPOUND}|[{SURNAME_LETTERS}])"
# Characters that end a given name: they start the next clause far more often than they name anyone.
_NOT_GIVEN = (
    "我你您他她它的了吗呢吧啊是在有来去要想买上下今昨前请能可还和跟与或这那就都也把被给让不没从到会说问"
    "先女同师电手地住号码个位车人外一二三四五六七八九十几多怎什为打点订退换查做当用过"
    "，。！？、；：,.!?;: \t\n"
)
_GIVEN = rf"[^\W\d_A-Za-z{re.escape(_NOT_GIVEN)}]"
_FULL = rf"{_SURNAME}{_GIVEN}{{1,2}}"
_TITLE = "(?:先生|女士|小姐|太太|师傅|阿姨|大爷)"
_AFTER = r"(?=$|[\s，。！？、；：,.!?;:“”\"]|的|说|和|跟|先|今|明|晚|吧|吗|让|叫|问)"
_OWN = "电话|手机|号码|邮箱|地址|订单|快递|包裹|单子|会员|账户|账号|名字|卡号|身份证|外卖|预约|预订"

_CHINESE = (
    re.compile(rf"(?:我叫|本人叫|名字叫|我名叫|我的名字[是叫]|姓名[是为]?[:：]?|收货人[是为叫]?[:：]?"
               rf"|收件人[是为叫]?[:：]?|联系人[是为叫]?[:：]?)\s{{0,4}}({_FULL})"),
    re.compile(rf"我是\s{{0,4}}({_FULL})(?=[，。,.!！;；\s]|$)"),
    re.compile(rf"我姓\s{{0,4}}({_SURNAME})"),
    re.compile(rf"({_SURNAME}{_GIVEN}{{0,2}}){_TITLE}"),
    re.compile(rf"(?:发|打|寄|送|转|交|拿|带|短信|电话|邮件|信息|消息)给({_FULL}){_AFTER}"),
    re.compile(rf"(?:呼叫|拨打|拨号|发短信|打电话|联系一下|打电话找)({_FULL}){_AFTER}"),
    re.compile(rf"给({_FULL})(?=[打发寄送回留带][个一条封短过去]?)"),
    re.compile(rf"(?:^|[把给帮替问查是，。：:,\s])({_FULL})(?=的(?:{_OWN}))"),
)  # fmt: skip

# Surnames that start few other words, before letters that given names are made of, between words
# or signs that stand around a person: "张伟的快递到了", "帮李娜取一下".
_SURE_SURNAME = (
    "[王李张刘陈杨赵吴周徐孙朱胡郭何林郑谢宋唐许韩冯邓曹彭曾肖董袁潘蔡蒋杜魏吕沈姚卢姜崔钟谭汪范廖贾"
    "邹熊孟薛阎雷侯龚邵贺郝]"
)
_BEFORE_NAME = r"(?:^|[\s，。！？、：；,.!?:;“”\"]|[给找帮替叫跟和让问请为由寄是])"
_AFTER_NAME = (
    r"(?=$|[\s，。！？、；,.!?;“”\"]|的|下的|订的|买的|要|说|收|签收|取|来|去|在|和|跟|今天|昨天|想|没"
    r"|不|已经|会|住|吗|呢|吧)"
)
_LIKE_NAMES = """
谢谢 辛苦 顾客 家乡 家里 家人 谢快递 谢送餐 谢骑士 谢外卖 谢配送
管理员 安装师 何力 王国 王子
张贵 许可 周天 马上 许信 许进 曾经 何在
何来 郑重 雷达 雷锋 胡子 林子 林中
杨梅 杨树 孙子 钟点 陈旧
陈香 陈年 宋江
老师 老板 老家 老公 老婆 老是 老款 小姐 小时 小米 小区 小车 小店
小方 小包 小票 小哥 小号 大家 大方 大包 大麦 大单 大号 大衣
阿姨 师傅 东西 申请 上周 上门 童装 童鞋 保温 保修 乔迁 黄豆
白色 黄色 高兴 安全 方便 于是 任何 何时 那么 时候 马上 金额 全部
姜葱 熊猫 贺信 外孙 帅哥 白名单 周武 周文 王牌 王者 唐诗 谢信 孟子 曾子 邓小 董事 薛定
"""
NO_CHINESE_NAME = frozenset(_LIKE_NAMES.split())
"""Words that look like a Chinese name."""
_CHINESE_ALONE = re.compile(
    rf"{_BEFORE_NAME}({_SURE_SURNAME}[{GIVEN_LETTERS}]{{1,2}}){_AFTER_NAME}"
)

_WORD = r"[^\W\d_][\w'’.-]{0,30}"
_CAPITAL = r"[A-ZÀ-ÖØ-ÞĀ-Ž](?!\w{0,30}\d)[\w'’.-]{0,30}"
_PARTICLE = r"(?:(?:de|del|la|van|von|der|da|di|bin|al|dos|den)\s{1,4})*"
_CAPITALS = rf"{_CAPITAL}(?:\s{{1,4}}{_PARTICLE}{_CAPITAL}){{0,3}}"
_STOP = (
    "and|but|i|i'm|im|so|please|my|the|with|from|calling|here|can|could|on|in|at|for|not|wrong|"
    "is|was|to|y|pero|quiero|necesito|con|por|que|mi|me|en|es|el|la|spelled|misspelled|listed|"
    "appears|incorrectly|incorrect|missing|tengo|under|a|an|of|what|really|changed|still|too"
)
_LOWER = rf"(?!(?:{_STOP})\b){_WORD}(?:\s{{1,4}}(?!(?:{_STOP})\b){_WORD}){{0,2}}"

_INTRODUCED = "my name is|my name's|me llamo|mi nombre es"
_TITLES = "mr|mrs|ms|miss|dr|sr|sra|srta|señor|señora|señorita|don|doña"
_LABELS = r"my (?:full|last|first|middle|maiden) name is|name:|nombre:|mi apellido es"
_SELF = "this is|i am|i'm|soy|under the name(?: of)?|a nombre de|name of"

_WESTERN = (
    re.compile(rf"\b(?i:{_INTRODUCED}|{_LABELS})\s{{0,4}}({_CAPITALS})"),
    re.compile(rf"\b(?i:{_INTRODUCED})\s{{1,4}}({_LOWER})"),
    re.compile(rf"\b(?i:{_TITLES})\b\.?\s{{1,4}}({_CAPITALS})"),
    re.compile(rf"\b(?i:{_SELF})\s{{1,4}}({_CAPITAL}(?:\s{{1,4}}{_PARTICLE}{_CAPITAL}){{1,3}})"),
    re.compile(
        rf"\b(?i:this is|soy)\s{{1,4}}({_CAPITAL})(?=\s{{1,4}}(?i:calling|speaking|from|here)\b)"
    ),
    re.compile(rf"\b(?i:hello|hi|hey|dear)\s{{1,4}}({_CAPITAL})(?=\s{{0,4}},)"),
)
_NAMED = re.compile(
    rf"\b(?i:maiden name is|change it to|(?:calls?|called) me|named (?:him|her|them)|under|"
    rf"partner's name|wife's name|husband's name|your name\?|add|follow up with|speak (?:to|with))"
    rf"\s{{1,4}}({_CAPITALS})"
)
# Two of these together, or one beside another word, are a shop's, a thing's or a sentence's words
# far more often than a person's.
_WORDS = """
a an and any are at atm about account after all also am american amex app apple april august
bank black blue buenas buenos but by call can card cash center chip christmas club code company
could credit customer day dear december debit delivery did do does easter english europe
european euro euros express february for friday from galaxy gift gold good google green had has
have hello help her hey hi his hola how i i'd i'll i'm i've if in inc international iphone is it
its january july june just let llc london ltd mac macbook mall march mastercard max may me mini
monday mr mrs ms my new no not november october of off office ok on one online or order our park
pay paypal pin please plus premium pro product red return road samsung saturday sale school
señor september service she shop silver so sorry south store street sunday super support switch
thank thanks that the their there they this thursday to transfer tuesday tv uk united states
ultra up us usa visa watch we wednesday west what when where which white who why wi-fi wifi will
with would xbox yes you your north east al como con cuando cuándo cuál dónde donde el ella en es
esta este la las los me mi necesito para pero por puedo qué que quiero se si sí sin su tarjeta
tengo tienda un una y yo auto besides eur gbp high oh ruble should st top usd
great excellent awesome bad poor nice best better worst terrible horrible perfect superb cheap big
small long short clear loud quality value design choice purchase buy buyer beware range performance
battery phone phones device headset sound audio volume signal network reception pocket keyboard
camera screen charger cable case price deal time money work works worked waiting still only were
don't doesn't didn't won't isn't can't very much more most simply free problem problems issue issues
service item items size color colour shipping package refund refunds return returns exchange
morning afternoon evening night today tomorrow yesterday week month year thing things people
food coffee tea water bread milk cake pizza shoes coat jacket shirt dress bag watch kindle fire
aud cad chf jpy nzd omg asap exit damn gonna wanna material anyone nah
barato bonito domicilio gastos eres bueno buena malo mala mejor peor gran calidad precio
producto servicio compra pago envío gracias
platinum freemium bride groom going darker liaison koala dos
"""
NO_NAME = frozenset(_WORDS.split())
"""In small letters: words that are no name however they are written."""
_MOST_PARTS = 32


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Names that follow an introduction or stand by a title, and Chinese ones that stand alone."""
    for pattern in (_CHINESE_ALONE, *_CHINESE, *_WESTERN, _NAMED):
        for match in pattern.finditer(text):
            if match[1].isupper() and " " in match[1] and text.isupper():
                continue
            if match[1] in NO_CHINESE_NAME:
                continue
            if match[1].strip(" .") and not (pattern is _NAMED and _is_ordinary(match[1])):
                yield match.span(1)


def parts(text: str, names: Iterable[Span]) -> frozenset[str]:
    """What people found in the text may be called elsewhere: their names, part by part."""
    return frozenset(
        part
        for span in names
        for part in re.split(r"[\s.]+", text[span.start : span.end])
        if len(part) > 2 - is_han(part[:1]) and not part.islower() and part.lower() not in NO_NAME
    )


def repeated(text: str, called: Iterable[str]) -> Iterator[Span]:
    """Wherever one of these parts of names stands in the text."""
    for part in sorted(called)[:_MOST_PARTS]:
        if part in text:
            alone = re.escape(part) if is_han(part[0]) else rf"(?<!\w){re.escape(part)}(?!\w)"
            for match in re.finditer(alone, text):
                yield Span(match.start(), match.end(), "NAME", part.lower())


def _is_ordinary(words: str) -> bool:
    """Whether one of the capitalised words is a shop's, a thing's or a sentence's."""
    parts = [part.removesuffix("'s") for part in re.split(r"[\s.]+", words)]
    return words.isupper() or any(part.lower() in NO_NAME for part in parts if not part.islower())
