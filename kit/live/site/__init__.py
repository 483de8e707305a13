"""The pages as plain files, for any static host: `python -m kit.live.site --out dist/site`.

No kernel answers there. Each page has its prose, its question, and a tour that the live page was
taken on beforehand, picture by picture:

- `tours`: what the tours turn, page by page
- `film`: plays one, and keeps its pictures, words and numbers
- `prose`, `mathml`: a notebook's words, and the formulas among them
- `build`: puts it all into a folder
"""
