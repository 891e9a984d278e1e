"""Questions without a person: some made of the sentences of a knowledge base, and some that are foreign to most.

They are there to calibrate by, so they are bags of words and not for reading.
"""

import random
import re
from collections.abc import Sequence
from functools import cache

from kb.index import Generation
from kb.records import Chunk
from kb.words import content_words, is_chinese

_DOCUMENTS = 400  # that sentences are drawn from, at most
_TRIED = 3  # chunks for each question wanted: some have no good sentence
_SENTENCE = re.compile(r"[\n。！？]|\. ")
_SHORTEST, _LONGEST = 15, 160  # characters of a sentence
_LETTERS = 0.6  # share of a sentence that are letters: less is a table or code
_WORDS = (3, 9)  # of a question
# People ask in other words than the document's: that share of a question's words is exchanged for words of foreign ones, of
# which a large knowledge base has most somewhere and a small one has few, as with real questions. Drawn evenly, so that the
# share of a question that its passage carries is spread as over real ones (their mean is .5 to .7).
_EXCHANGED = (0.1, 0.6)
_NAMES_THE_PAGE = 0.5  # share of questions that have a word of the title or heading

FOREIGN = (
    "How long should I boil eggs for a soft yolk",
    "What vaccinations do I need before travelling to Kenya",
    "Why does my cat keep scratching the sofa",
    "Which planet has the most moons",
    "How do I remove red wine stains from a carpet",
    "Who painted the ceiling of the Sistine Chapel",
    "What are the symptoms of iron deficiency",
    "How much does it cost to renew a passport",
    "Recommend a good novel about the sea",
    "What is the offside rule in football",
    "How do I train for a half marathon in twelve weeks",
    "When did the Berlin Wall fall",
    "How do I repot an orchid",
    "What should I wear to a job interview at a bank",
    "Is it safe to eat raw salmon while pregnant",
    "How do noise cancelling headphones work",
    "What is the difference between a cappuccino and a latte",
    "How can I lower my electricity bill in winter",
    "Which visa do I need to study in Canada",
    "How do I calculate compound interest on savings",
    "What causes thunder and lightning",
    "How do I change a flat bicycle tyre",
    "Best beaches in Thailand for families",
    "How do I write a letter of complaint to my landlord",
    "What is the tallest building in the world",
    "How do I center a div with flexbox",
    "How do I reverse a linked list in C",
    "What is the difference between TCP and UDP",
    "How do I undo the last git commit",
    "How do I make a pivot table in Excel",
    "How do I write a regular expression for an email address",
    "What does a 404 error mean",
    "Which laptop should I buy for video editing",
    "How do I deploy a WordPress site",
    "What training do nurses need",
    "Which model of car has the lowest fuel consumption",
    "Does my phone support wireless charging",
    "How do I fix a leaking tap",
    "How do I file an income tax return",
    "Who won the world cup in 1998",
    "鸡蛋煮几分钟是溏心的",
    "去日本旅游需要办什么签证",
    "猫咪一直抓沙发怎么办",
    "太阳系里哪颗行星最大",
    "衣服上的红酒渍怎么洗掉",
    "清明上河图是谁画的",
    "缺铁性贫血有哪些症状",
    "补办身份证需要多长时间",
    "推荐一本适合睡前看的小说",
    "足球比赛里什么是越位",
    "半程马拉松怎么训练",
    "鸦片战争是哪一年爆发的",
    "兰花多久浇一次水",
    "面试银行应该穿什么衣服",
    "孕妇能不能吃螃蟹",
    "降噪耳机的原理是什么",
    "美式咖啡和拿铁有什么区别",
    "冬天怎么省电费",
    "高考志愿应该怎么填",
    "房贷提前还款划算吗",
    "为什么会打雷闪电",
    "自行车链条掉了怎么装",
    "三亚哪个海滩适合带孩子",
    "租房合同到期房东不退押金怎么办",
    "世界上最高的山峰是哪座",
    "怎么用 CSS 让文字居中",
    "用 C 语言怎么反转链表",
    "TCP 和 UDP 有什么区别",
    "怎么撤销上一次 git 提交",
    "Excel 里怎么做数据透视表",
    "MySQL 怎么给表加索引",
    "微信聊天记录怎么迁移到新手机",
    "剪辑视频买什么电脑好",
    "怎么学好英语口语",
    "医保卡丢了怎么补办",
    "什么型号的汽车最省油",
    "这款手机支持无线充电吗",
    "水龙头漏水怎么修",
    "个人所得税怎么申报退税",
    "春节放假几天",
)


def made_questions(generation: Generation, count: int) -> list[tuple[Chunk, str]]:
    """At most `count` chunks, each with a question made of one of its sentences; always the same for the same content."""
    draw = random.Random(0)  # noqa: S311 - a sample, no secret
    chunks = generation.some_chunks(_DOCUMENTS)
    draw.shuffle(chunks)
    del chunks[_TRIED * count :]
    drawn = [(chunk, draw.choice(own)) for chunk in chunks if (own := _sentences(chunk.text))]
    drawn = [(chunk, sentence) for chunk, sentence in drawn if len(set(content_words(sentence))) >= _WORDS[0]]
    return [(chunk, _question(chunk, sentence, _foreign_words(is_chinese(sentence)), draw)) for chunk, sentence in drawn[:count]]


@cache
def _foreign_words(chinese: bool) -> list[str]:
    return [word for question in FOREIGN if is_chinese(question) == chinese for word in content_words(question)]


def _question(chunk: Chunk, sentence: str, others: Sequence[str], draw: random.Random) -> str:
    own = list(dict.fromkeys(content_words(sentence)))
    kept = draw.sample(own, min(len(own), draw.randint(*_WORDS)))
    exchanged = draw.uniform(*_EXCHANGED)
    asked = [draw.choice(others) if draw.random() < exchanged else word for word in kept]
    if chunk.heading and draw.random() < _NAMES_THE_PAGE:
        asked.append(draw.choice(content_words(" ".join((chunk.heading[0], chunk.heading[-1]))) or [""]))
    return " ".join(asked)


def _sentences(text: str) -> list[str]:
    stripped = (part.strip() for part in _SENTENCE.split(text))
    return [part for part in stripped if _SHORTEST <= len(part) <= _LONGEST and _is_prose(part)]


def _is_prose(text: str) -> bool:
    return sum(map(str.isalpha, text)) > _LETTERS * len(text.replace(" ", ""))
