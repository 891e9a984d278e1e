"""Colours and type as a Gradio theme. System fonts only: the page asks no other host for anything.

static/style.css lays the page out and takes its colours from the variables that are set here.
"""

import gradio as gr

SANS = (
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "sans-serif",
)
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "Noto Sans Mono CJK SC", "monospace")

_PINE = gr.themes.Color(
    name="pine",
    c50="#eef7f5",
    c100="#d9ede9",
    c200="#b3dbd4",
    c300="#84c3b9",
    c400="#52a598",
    c500="#2b877a",
    c600="#0f6f63",
    c700="#0d5a51",
    c800="#0c4841",
    c900="#0a3a35",
    c950="#062421",
)
_STONE = gr.themes.Color(
    name="stone",
    c50="#faf9f7",
    c100="#f4f2ee",
    c200="#e7e4dd",
    c300="#d3cfc5",
    c400="#a6a299",
    c500="#78756d",
    c600="#57554f",
    c700="#403f3b",
    c800="#2a2a28",
    c900="#1d1e1f",
    c950="#151617",
)


class Theme(gr.themes.Base):
    """Paper, ink and one accent colour."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=_PINE,
            secondary_hue=_PINE,
            neutral_hue=_STONE,
            radius_size=gr.themes.sizes.radius_md,
            text_size=gr.themes.sizes.text_md,
            font=SANS,
            font_mono=MONO,
        )
        self.name = "internkb"
        super().set(
            body_background_fill="#fdfcfa",
            body_background_fill_dark="#17191b",
            body_text_color="#24272b",
            body_text_color_dark="#e3e4e6",
            body_text_color_subdued="#6c6b66",
            body_text_color_subdued_dark="#9b9da2",
            background_fill_primary="#fdfcfa",
            background_fill_primary_dark="#17191b",
            background_fill_secondary="#f6f4f0",
            background_fill_secondary_dark="#1d2022",
            border_color_primary="#e7e4dd",
            border_color_primary_dark="#2e3235",
            border_color_accent="*primary_600",
            border_color_accent_dark="*primary_400",
            link_text_color="*primary_600",
            link_text_color_dark="*primary_300",
            link_text_color_hover="*primary_700",
            link_text_color_hover_dark="*primary_200",
            color_accent="*primary_600",
            color_accent_soft="*primary_50",
            color_accent_soft_dark="#16302c",
            block_background_fill="transparent",
            block_background_fill_dark="transparent",
            block_border_width="0px",
            block_border_width_dark="0px",
            block_shadow="none",
            block_shadow_dark="none",
            block_padding="0px",
            block_label_background_fill="transparent",
            block_label_background_fill_dark="transparent",
            block_title_text_color="*body_text_color_subdued",
            block_title_text_color_dark="*body_text_color_subdued",
            block_title_text_weight="500",
            input_background_fill="#ffffff",
            input_background_fill_dark="#1d2022",
            input_border_color="#dcd8cf",
            input_border_color_dark="#363b3f",
            input_border_color_focus="*primary_500",
            input_border_color_focus_dark="*primary_400",
            input_border_width="1px",
            input_border_width_dark="1px",
            input_shadow="none",
            input_shadow_dark="none",
            input_shadow_focus="0 0 0 3px rgba(43, 135, 122, .15)",
            input_shadow_focus_dark="0 0 0 3px rgba(82, 165, 152, .2)",
            button_primary_background_fill="*primary_600",
            button_primary_background_fill_dark="*primary_500",
            button_primary_background_fill_hover="*primary_700",
            button_primary_background_fill_hover_dark="*primary_400",
            button_primary_text_color="#ffffff",
            button_primary_text_color_dark="#ffffff",
            button_secondary_background_fill="transparent",
            button_secondary_background_fill_dark="transparent",
            button_secondary_background_fill_hover="*neutral_100",
            button_secondary_background_fill_hover_dark="#26292c",
            button_secondary_border_color="#dcd8cf",
            button_secondary_border_color_dark="#363b3f",
            button_secondary_text_color="*body_text_color",
            button_secondary_text_color_dark="*body_text_color",
            button_border_width="1px",
            button_border_width_dark="1px",
            button_primary_shadow="none",
            button_secondary_shadow="none",
            shadow_drop="none",
            shadow_drop_lg="none",
        )
