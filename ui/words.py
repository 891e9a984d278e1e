"""Every text of the page, English and Chinese side by side: one table, so that neither can lag behind."""

from typing import Literal, get_args

from ui import words_evaluate, words_jobs, words_models, words_tune

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

# key: (English, Chinese). Placeholders are the same on both sides; a test holds that.
WORDS: dict[str, tuple[str, str]] = {
    "lang.html": ("en", "zh-CN"),
    "lang.other": ("中文", "English"),
    "app.name": ("InternKB", "InternKB"),
    "app.tagline": ("Answers from your own documents, with the passage behind every claim.",
                    "用你自己的文档回答问题，每个结论都能翻到原文。"),
    "app.theme": ("Light or dark", "浅色 / 深色"),
    "app.logout": ("Log out", "退出登录"),
    "tab.chat": ("Chat", "问答"),
    "tab.library": ("Library", "文档库"),
    "kb.choice": ("Knowledge base", "知识库"),
    # Chat
    "chat.placeholder": ("Ask the documents…", "向文档提问……"),
    "chat.send": ("Send", "发送"),
    "chat.stop": ("Stop", "停止"),
    "chat.new": ("New chat", "新对话"),
    "chat.list": ("Conversations", "对话"),
    "chat.none": ("Your conversations will be listed here.", "你的对话会列在这里。"),
    "chat.searching": ("Searching the documents…", "正在检索文档……"),
    "chat.reading": ("Reading {passages:passage|passages} from {documents:document|documents}…",
                     "正在阅读 {documents} 篇文档中的 {passages} 段……"),
    "chat.copy": ("Copy", "复制"),
    "chat.copied": ("Copied", "已复制"),
    "chat.retry": ("Answer again", "重新回答"),
    "chat.clear": ("Clear", "清空"),
    "chat.rename": ("Rename", "重命名"),
    "chat.delete": ("Delete", "删除"),
    "chat.stopped": ("Stopped here.", "回答在此停止。"),
    "chat.unanswered": ("This question has no answer yet.", "这个问题还没有得到回答。"),
    "chat.refused": ("Not found in the documents", "文档中没有找到"),
    "chat.anyway": ("Answer from these passages anyway", "仍然用这些段落回答"),
    "chat.rewritten": ("Searched for: {question}", "检索的问题：{question}"),
    "chat.unsupported": ("The passages it cites do not bear this out: {sentences}", "所引用的段落不能支持：{sentences}"),
    "chat.seconds": ("{seconds} s", "{seconds} 秒"),
    "chat.busy": ("An answer is still being written; stop it first.", "上一个回答还在生成，请先停止。"),
    "chat.empty": ("Type a question first.", "请先输入问题。"),
    "chat.long": ("A question may have {limit} characters at most.", "问题最多 {limit} 个字符。"),
    "chat.gone": ("That conversation is not there any more.", "这个对话已经不存在了。"),
    "chat.nothing_to_retry": ("There is no question to answer again.", "没有可以重新回答的问题。"),
    "chat.bug": ("Something broke while answering; the terminal shows what.", "回答时出错，详情见终端。"),
    "chat.welcome": ("What would you like to know?", "想了解什么？"),
    "chat.welcome.about": ("“{kb}” holds {documents:document|documents} in {chunks:passage|passages}.",
                           "“{kb}”中有 {documents} 篇文档、{chunks} 个段落。"),
    "chat.welcome.try": ("For example", "例如"),
    "chat.welcome.none": ("No documents yet", "还没有文档"),
    "chat.welcome.none.about": ("Open the Library, add a folder and index it; then ask here.",
                                "请打开“文档库”，添加文件夹并建立索引，然后回到这里提问。"),
    "chat.open_library": ("Open the Library", "打开文档库"),
    "chat.model": ("Answered by {model}", "由 {model} 回答"),
    "chat.quotes_only": ("Quotes only: no language model is set", "仅引用原文：未设置语言模型"),
    "chat.keys": ("Shift+Enter: new line", "Shift+Enter 换行"),
    "chat.menu": ("Show conversations", "显示对话列表"),
    # Sources and the reader
    "source.title": ("Sources", "来源"),
    "source.none": ("The passages behind an answer appear here.", "回答所依据的段落会显示在这里。"),
    "source.nothing": ("Nothing in the documents came close.", "文档中没有相近的内容。"),
    "source.others": ("Also found", "其他相关段落"),
    "source.lines": ("lines {start}–{end}", "第 {start}–{end} 行"),
    "source.line": ("line {start}", "第 {start} 行"),
    "source.also": ("The same in {paths}", "另见 {paths}"),
    "source.open": ("Open in the document", "在文档中查看"),
    "source.count": ("{count:source|sources}", "{count} 个来源"),
    "source.bad": ("That source is not there any more.", "这个来源已经不存在了。"),
    "reader.close": ("Close", "关闭"),
    "reader.above": ("{count:line|lines} above", "上方还有 {count} 行"),
    "reader.below": ("{count:line|lines} below", "下方还有 {count} 行"),
    "reader.more": ("show more", "显示更多"),
    "reader.changed": ("This document has changed since the answer; this is the passage as it was.",
                       "回答之后文档已有变化，以下是当时的段落。"),
    "reader.reindexed": ("Indexed again since the answer; this passage is unchanged.",
                         "回答之后重新建立过索引，此段落没有变化。"),
    "reader.permalink": ("the same lines on {host}", "在 {host} 上查看这几行"),
    "reader.copies": ("Also at {paths}", "相同内容还在 {paths}"),
    # Library
    "library.title": ("Library", "文档库"),
    "library.totals": ("{documents:document|documents} · {chunks:passage|passages} · {bytes} · indexed {when} in {seconds}",
                       "{documents} 篇文档 · {chunks} 个段落 · {bytes} · {when}建立索引，用时 {seconds}"),
    "library.model": ("Embedded by {model}", "向量模型：{model}"),
    "library.run": ("What the last change did", "最近一次更新"),
    "library.run.files": ("Files: {added} added, {changed} changed, {moved} moved, {removed} removed, {unchanged} unchanged",
                          "文件：新增 {added}，修改 {changed}，移动 {moved}，删除 {removed}，未变 {unchanged}"),
    "library.run.chunks": ("Passages: {embedded} embedded, {reused} vectors reused",
                           "段落：新算向量 {embedded}，沿用向量 {reused}"),
    "library.run.rate": ("{rate} passages a second", "每秒 {rate} 个段落"),
    "library.run.rebuilt": ("Built from nothing, because {why}.", "全部重建，原因：{why}"),
    "library.sources": ("Sources", "来源"),
    "library.sources.none": ("No folder yet. Add one below; everything in it that can be read will be indexed.",
                             "还没有文件夹。请在下方添加，其中所有可读的文档都会被索引。"),
    "library.paused": ("paused: kept as it is indexed", "已暂停：保留现有索引"),
    "library.pause": ("Pause", "暂停"),
    "library.resume": ("Resume", "恢复"),
    "library.remove": ("Remove", "移除"),
    "library.removed": ("Removed “{name}”; its documents leave the index now.", "已移除“{name}”，其文档正在从索引中删除。"),
    "library.gone": ("That source is not there any more.", "这个来源已经不存在了。"),
    "library.later": ("Added “{name}”. Index again when the present run has ended.",
                      "已添加“{name}”。当前任务结束后请再次建立索引。"),
    "library.documents": ("Documents", "文档"),
    "library.documents.none": ("Nothing is indexed yet. Add a folder, then press “Index now”.",
                               "还没有建立索引。请先添加文件夹，再点击“开始索引”。"),
    "library.documents.nomatch": ("No document matches “{text}”.", "没有与“{text}”匹配的文档。"),
    "library.more": ("and {count} more; search to narrow them down", "另有 {count} 篇，请搜索以缩小范围"),
    "library.search": ("Search by path or title", "按路径或标题搜索"),
    "library.document": ("Document", "文档"),
    "library.size": ("Size", "大小"),
    "library.chunks": ("Passages", "段落数"),
    "library.copies": ("{count} identical copies", "{count} 份相同副本"),
    "library.skipped": ("Left out", "未收录"),
    "library.skipped.none": ("Nothing was left out.", "没有遗漏的文件。"),
    "library.skipped.all": ("All reasons", "所有原因"),
    "library.skipped.file": ("File", "文件"),
    "library.skipped.why": ("Why", "原因"),
    "library.skipped.more": ("and {count} more; choose a reason to narrow them down", "另有 {count} 个，请按原因筛选"),
    "library.add.path": ("Folder or file on this computer, or a git address", "本机上的文件夹或文件，或 git 仓库地址"),
    "library.add.hint": ("for example ~/Documents/notes", "例如 ~/Documents/notes"),
    "library.add.base": ("Into knowledge base", "加入知识库"),
    "library.add.go": ("Add and index", "添加并索引"),
    "library.add.nothing": ("No file was sent.", "没有收到文件。"),
    "library.add.upload": ("Upload files", "上传文件"),
    "library.add.empty": ("Type the path of a folder first.", "请先输入文件夹路径。"),
    "library.add.public": ("While other computers can reach the page, its sources cannot be changed here; use python -m ingest.",
                           "页面可被其他电脑访问时，不能在页面上更改来源；请使用 python -m ingest。"),
    "library.added": ("Added “{name}”; indexing has started.", "已添加“{name}”，正在建立索引。"),
    "library.reindex": ("Index now", "开始索引"),
    "library.busy": ("Indexing is already under way.", "正在建立索引，请稍候。"),
    "library.nothing": ("Add a folder first.", "请先添加文件夹。"),
    # Why a file was left out; the codes are kb.records.WHY_SKIPPED's
    "why.own": ("where InternKB keeps its own files", "InternKB 自己的文件所在之处"),
    "why.gitignored": ("named by {detail}", "被 {detail} 排除"),
    "why.hidden": ("in a hidden folder or file", "位于隐藏文件夹或为隐藏文件"),
    "why.licence": ("a licence text", "许可证文本"),
    "why.build-file": ("a build or requirements list, not prose", "构建或依赖清单，不是文章"),
    "why.data": ("data rather than prose ({detail})", "是数据而不是文章（{detail}）"),
    "why.empty": ("empty, or only a stub ({detail})", "空文件或只有占位内容（{detail}）"),
    "why.duplicate": ("the same bytes as {detail}, which is indexed", "与已收录的 {detail} 完全相同"),
    "why.format": ("a format that is not read ({detail})", "不支持的格式（{detail}）"),
    "why.too-big": ("too big ({detail})", "文件太大（{detail}）"),
    "why.link": ("a link that leads out of the source or in a circle", "指向来源之外或成环的链接"),
    "why.linked": ("a link to {detail}, which is read where it lies", "指向 {detail} 的链接，原文件已在原处读取"),
    "why.special": ("not a regular file (pipe, socket or device)", "不是普通文件（管道、套接字或设备）"),
    "why.unreadable": ("cannot be read: {detail}", "无法读取：{detail}"),
    "why.vanished": ("gone before it was read", "读取之前文件已消失"),
    "why.binary": ("binary content under a text name ({detail})", "文本文件名下是二进制内容（{detail}）"),
    "why.encoding": ("no known encoding fits: {detail}", "无法识别编码：{detail}"),
    "why.broken": ("cannot be parsed: {detail}", "无法解析：{detail}"),
    "why.timeout": ("took longer than {detail} to read", "读取超过 {detail}"),
    "why.memory": ("needs more memory than {detail} to read", "读取所需内存超过 {detail}"),
    "why.bad-row": ("a row that is not {{id, title, text}}: {detail}", "不是 {{id, title, text}} 的行：{detail}"),
    "why.other": ("{reason} ({detail})", "{reason}（{detail}）"),
    # Short reasons, for the filter
    "reason.own": ("InternKB's own", "InternKB 自身"),
    "reason.gitignored": ("Ignored", "已被忽略规则排除"),
    "reason.hidden": ("Hidden", "隐藏"),
    "reason.licence": ("Licence", "许可证"),
    "reason.build-file": ("Build file", "构建文件"),
    "reason.data": ("Data", "数据"),
    "reason.empty": ("Empty", "空文件"),
    "reason.duplicate": ("Duplicate", "重复"),
    "reason.format": ("Format", "格式"),
    "reason.too-big": ("Too big", "太大"),
    "reason.link": ("Link", "链接"),
    "reason.linked": ("Linked", "已链接"),
    "reason.special": ("Special file", "特殊文件"),
    "reason.unreadable": ("Unreadable", "无法读取"),
    "reason.vanished": ("Vanished", "已消失"),
    "reason.binary": ("Binary", "二进制"),
    "reason.encoding": ("Encoding", "编码"),
    "reason.broken": ("Broken", "损坏"),
    "reason.timeout": ("Timeout", "超时"),
    "reason.memory": ("Memory", "内存"),
    "reason.bad-row": ("Bad row", "错误的行"),
    # Dialogs; page.js reads these
    "dialog.ok": ("OK", "确定"),
    "dialog.cancel": ("Cancel", "取消"),
    "dialog.delete": ("Delete this conversation? It cannot be brought back.", "删除这个对话？删除后无法恢复。"),
    "dialog.clear": ("Clear this conversation? Its messages cannot be brought back.", "清空这个对话？消息无法恢复。"),
    "dialog.remove-source": ("Remove this source? Its documents leave the index; the files stay where they are.",
                             "移除这个来源？其文档会从索引中删除，原文件不受影响。"),
    "dialog.rename": ("New name of the conversation", "对话的新名称"),
    # Login
    "login.title": ("Log in", "登录"),
    "login.user": ("User", "用户名"),
    "login.password": ("Password", "密码"),
    "login.go": ("Log in", "登录"),
    "login.wrong": ("User or password is wrong.", "用户名或密码错误。"),
    "login.wait": ("Too many attempts. Try again in {seconds:second|seconds}.", "尝试次数过多，请在 {seconds} 秒后重试。"),
    # Jobs; evaluate; models; fine-tuning
    **words_jobs.WORDS,
    **words_evaluate.WORDS,
    **words_models.WORDS,
    **words_tune.WORDS,
}  # fmt: skip


class _Value:
    def __init__(self, value: object) -> None:
        self._value = value

    def __format__(self, spec: str) -> str:
        one, several, many = spec.partition("|")
        return f"{self._value} {one if str(self._value) == '1' else many}" if several else format(self._value, spec)


class Words:
    """The texts in one language: `words("chat.send")`, `words("chat.long", limit=4000)`."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """Where a text has `{count:source|sources}`, the number and the word that goes with it."""
        return WORDS[key][self._column].format(**{name: _Value(value) for name, value in values.items()})

    def why(self, reason: str, detail: str) -> str:
        """Why a file was left out."""
        if f"why.{reason}" in WORDS:
            return self(f"why.{reason}", detail=detail)
        return self("why.other", reason=reason, detail=detail)

    def reason(self, code: str) -> str:
        """The short name of a reason."""
        return self(f"reason.{code}") if f"reason.{code}" in WORDS else code


def preferred(accept_language: str) -> Language:
    """The page's language for a browser's Accept-Language header."""
    ranked: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept_language.split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), position, tag.lower()))
        except ValueError:
            continue
    for _, _, tag in sorted(ranked):
        for language in LANGUAGES:
            if tag == language or tag.startswith(language + "-"):
                return language
    return "en"


def language_or(value: str | None, default: Language) -> Language:
    """`value` if it is one of ours."""
    return next((language for language in LANGUAGES if language == value), default)
