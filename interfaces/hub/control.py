"""``/_control`` of the simulators' host: which faults befall which interface, as a page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Flask, Response, abort, jsonify, redirect, render_template_string, request

from interfaces.hub.manifests import all_manifests
from interfaces.hub.simulating import FAULTS, MOST_RULES, Faults, Rule

PAGE = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>模拟器控制台</title>
<style>body{font:15px/1.6 sans-serif;margin:2em auto;max-width:72em;padding:0 1em}h2{font-size:1.1em;margin:1.6em 0 .3em}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}
input,select,button{font:inherit;padding:.15em .4em}.n{width:6em}.bad{color:#b00}form{display:inline}</style>
<h1>模拟器控制台</h1><p>故障立即对所有进程生效。“交易”留空表示全部，以 / 开头按路径匹配；次数留空表示不限。</p>
{% if problem %}<p class="bad">{{ problem }}</p>{% endif %}
{% for package, name, operations, rules in rows %}<h2>{{ name }}（{{ package }}）</h2>
<table><tr><th>故障<th>交易或路径<th>机会 %<th>剩余次数<th>毫秒<th></tr>
{% for rule in rules %}<tr><td>{{ faults[rule.fault] }}<td>{{ rule.where or '全部' }}<td>{{ rule.chance }}
<td>{{ '不限' if rule.count is none else rule.count }}<td>{{ rule.milliseconds }}
<td><form method="post" action="/_control/{{ package }}/remove/{{ loop.index0 }}"><button>删除</button></form></tr>{% endfor %}
<tr><td><form method="post" id="of-{{ package }}" action="/_control/{{ package }}/add"></form>
<select name="fault" form="of-{{ package }}">
{% for code, title in faults.items() %}<option value="{{ code }}">{{ title }}</option>{% endfor %}</select>
<td><input name="where" form="of-{{ package }}" list="to-{{ package }}"><datalist id="to-{{ package }}">
{% for code, title in operations %}<option value="{{ code }}">{{ title }}</option>{% endfor %}</datalist>
<td><input class="n" name="chance" form="of-{{ package }}" value="100"><td><input class="n" name="count" form="of-{{ package }}">
<td><input class="n" name="milliseconds" form="of-{{ package }}" value="0">
<td><button form="of-{{ package }}">加入</button></tr></table>{% else %}<p>没有装入任何模拟器。</p>{% endfor %}</html>"""


def create(faults: dict[str, Faults]) -> Flask:
    """The control application over the rules of these interfaces."""
    app = Flask("simulators", static_folder=None)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]

    def of(package: str) -> Faults:
        return faults[package] if package in faults else abort(404)

    def page(problem: str = "", status: int = 200) -> tuple[str, int]:
        rows = [(package, all_manifests()[package].name, all_manifests()[package].operations, rules.read())
                for package, rules in faults.items()]
        return render_template_string(PAGE, rows=rows, faults=FAULTS, problem=problem), status

    @app.get("/")
    def home() -> Any:
        return redirect("/_control")

    @app.get("/_control")
    def show() -> Any:
        return page()

    @app.post("/_control/<package>/add")
    def add(package: str) -> Any:
        rules, form = of(package), request.form
        try:
            rule = Rule(form.get("fault", ""), form.get("where", "").strip(), int(form.get("chance") or 100),
                        int(form["count"]) if form.get("count") else None, int(form.get("milliseconds") or 0))
            rules.write(_few([*rules.read(), rule]))
        except ValueError as error:
            return page(f"{all_manifests()[package].name}：{error}", 400)
        return redirect("/_control", 303)

    @app.post("/_control/<package>/remove/<int:place>")
    def remove(package: str, place: int) -> Any:
        rules = of(package)
        rules.write([rule for at, rule in enumerate(rules.read()) if at != place])
        return redirect("/_control", 303)

    @app.get("/_control/faults")
    def everything() -> Any:
        return jsonify({package: [asdict(rule) for rule in rules.read()] for package, rules in faults.items()})

    @app.route("/_control/faults/<package>", methods=["GET", "PUT", "DELETE"])
    def one(package: str) -> Any:
        rules = of(package)
        if request.method == "DELETE":
            rules.write([])
        elif request.method == "PUT":
            try:
                given = request.get_json()
                rules.write(_few([Rule(**rule) for rule in given]))
            except (ValueError, TypeError) as error:
                return Response(str(error), status=400, mimetype="text/plain")
        return jsonify([asdict(rule) for rule in rules.read()])

    return app


def _few(rules: list[Rule]) -> list[Rule]:
    if len(rules) > MOST_RULES:
        raise ValueError(f"每个接口最多 {MOST_RULES} 条")
    return rules
