"""Chinese characters: which ones names are made of, and what the reader of names sees of one."""

from __future__ import annotations

from collections.abc import Iterator

SURNAME_LETTERS = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章"
    "云苏潘葛奚范彭郎鲁韦昌马苗凤花方俞任袁柳鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于傅皮卞齐康伍余"
    "元顾孟平黄穆萧尹姚邵湛汪祁毛狄米贝明臧计成戴宋庞熊纪舒屈项祝董梁杜阮蓝闵季贾路娄江童颜郭梅盛林"
    "钟徐邱骆高夏蔡田樊胡凌霍虞万柯管卢莫房裘解应宗丁宣邓郁洪诸左石崔吉龚程邢裴陆荣翁荀甄曲家封"
    "芮储靳段焦谷车侯全班秋仲宫宁仇栾甘厉祖武符刘景詹束龙叶司韶黎薄白蒲卓蔺屠蒙池乔翟谭劳申扶冉桑桂"
    "牛边燕冀尚农温庄晏柴瞿阎慕连习艾鱼容向古易廖庾衡步耿满匡国文寇广欧沃利师巩聂晁敖冷辛简饶曾沙丰"
    "关查游权盖益桓肖佟麦岳帅覃涂冼"
)
"""Surnames of one letter."""
GIVEN_LETTERS = (
    "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞刚桂兰玉梅红燕萍玲华建志文辉鹏飞龙波斌宇浩凯健俊帆雪琳"
    "佳慧婷颖晨欣怡瑞子涵梓轩诗泽昊博思琪嘉雅倩洁莉琴云莲珍凤春菊香淑惠翠芬荣娇晶妍茜莎锦黛瑶婕馨瑾"
    "蓉薇菁梦岚欢枫芸菲毓祥光东峰宏坤森鑫贵福胜学才发武利清顺信毅仁保良友裕江成康达岩茂进彪诚震振壮"
    "群豪邦承绍松善厚庆民哲亮政谦亨伦翔旭德盛晓小永世广丹玥彤雯蕾"
)
"""Letters that given names are made of far more often than words."""


def is_han(char: str) -> bool:
    """Whether it is a Chinese character of the common block."""
    return "一" <= char <= "鿿"


def features(two: str, one: str, here: str, after: str, later: str) -> Iterator[str]:
    """The features of ``here`` between the two tokens before it and the two after it."""
    before, following = one[-1:], after[:1]
    yield from (
        f"H{here}", f"Ha{before}|{here}", f"Hc{here}|{following}", f"Hk{before}|{following}",
        f"Hx{before}|{here}|{following}", f"Hy{here}|{following}|{later[:1]}",
        f"Ho{two[-1:]}|{before}|{here}", f"Hb{two[-1:]}|{before}", f"Hd{following}|{later[:1]}",
        f"Hl{before}", f"Hm{following}", f"Hp{two[-1:]}", f"Hn{later[:1]}",
    )  # fmt: skip
    kinds = [_kind(char) for char in (two[-1:], before, here, following, later[:1])]
    yield from (
        f"H1{''.join(kinds[1:4])}", f"H2{''.join(kinds[2:])}", f"H3{''.join(kinds[:3])}",
        f"H4{before}{''.join(kinds[2:])}", f"H5{''.join(kinds[2:4])}{later[:1]}",
        f"H6{two[-1:]}{before}{kinds[2]}", f"H7{before}{kinds[2]}{kinds[3]}{later[:1]}",
        f"H8{two[-1:]}{kinds[1]}{kinds[2]}{following}",
    )  # fmt: skip


def _kind(char: str) -> str:
    if not char:
        return "."
    if not is_han(char):
        return "a" if char.isalnum() else ","
    if char in SURNAME_LETTERS:
        return "B" if char in GIVEN_LETTERS else "S"
    return "G" if char in GIVEN_LETTERS else "o"
