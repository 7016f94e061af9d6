"""Shows ```` ```mermaid ```` blocks as graphs. Without a network the page shows the graph's text."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_SCRIPT = "https://cdn.jsdelivr.net/npm/mermaid@11.17.2/dist/mermaid.min.js"
_INTEGRITY = "sha384-EOXBFmc3gx5mb+vn0vPvvGqACToJD24hhacX5Yx+8NUUQrHIle/Qi5Bg9o3zKwW2"


class Mermaid(SphinxDirective):
    """A graph, in the element that the script of mermaid looks for."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Write the graph's text as it is."""
        text = nodes.Text("\n".join(self.content)).astext()
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        return [nodes.raw("", f'<pre class="mermaid">\n{escaped}\n</pre>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the script."""
    app.add_directive("mermaid", Mermaid)
    app.add_js_file(_SCRIPT, integrity=_INTEGRITY, crossorigin="anonymous", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
