"""What notebook people return, in a notebook's kernel: the cells run, what the notebook holds is alive, and the saved page has the pictures."""
import textwrap

import jupyter_client, pytest

CELLS = [textwrap.dedent(source) for source in ('''
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt, numpy as np, pandas as pd
    from agentnb import Agent, Scripted, call, tool
    frame, kept = pd.DataFrame({"host": ["db", "web"], "load": [0.9, 0.1]}), "alive"

    @tool(read_only=True)
    def table() -> pd.DataFrame: return frame

    @tool(read_only=True)
    def figure():
        fig, ax = plt.subplots(figsize=(4, 2))
        ax.plot([1, 3, 2])
        return fig, ax

    @tool(read_only=True)
    def picture() -> bytes:
        import io
        from PIL import Image
        file = io.BytesIO()
        Image.new("RGB", (640, 480), "steelblue").save(file, "PNG")
        return file.getvalue()

    @tool(read_only=True)
    def numbers() -> np.ndarray: return np.arange(6).reshape(2, 3)

    class Broken:
        def _repr_html_(self): exit()

    @tool(read_only=True)
    def broken() -> object: return Broken()
    ''', '''
    calls = [call(name) for name in ("table", "figure", "picture", "numbers", "broken")]
    run = Agent(Scripted([calls, "done"]), [table, figure, picture, numbers, broken], store="memory:").run("Show the load.")
    print(await run)
    run
    ''', '''
    html = run._repr_html_()
    print(html.count("data:image/png;base64,"), "<td>db</td>" in html, "640 x 480" in html, any("0x" in s.model_dump_json() for s in run.steps))
    print([m.content.partition("\\n")[0] for m in run.tip.messages if m.role == "tool"])
    ''', '''
    print(len(frame), kept)
    ''')]


@pytest.mark.slow
def test_a_notebook_of_pictures():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    said, shown = [], []

    def hear(message):
        said.append(message["content"].get("text", ""))
        shown.append(message["content"].get("data", {}).get("text/html", ""))
    try:
        for source in CELLS:
            reply = client.execute_interactive(source, timeout=60, output_hook=hear)
            assert reply["content"]["status"] == "ok", reply["content"]
        out = "".join(said)
        assert out.startswith("done\n") and out.endswith("2 alive\n") and manager.is_alive()
        assert "2 True True False" in out and "DataFrame of 2 rows and 2 columns, as CSV:" in out and "array of shape (2, 3), int64:" in out
        assert "".join(shown).count("data:image/png;base64,") == 2
    finally: manager.shutdown_kernel(now=True)
