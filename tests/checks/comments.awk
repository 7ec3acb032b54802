# Comments that clang-format lets pass (a comment keeps its place with "AlignTrailingComments: Leave", and its lines are
# not filled): spaces before it instead of tabs, lines that do not stand below its start, an end on a line of its own,
# and lines that are all broken long before column 120. A text with a list or a figure in it has its own line breaks.
function columns(text)
{
	gsub(/\t/, "        ", text)
	return length(text)
}

function report(why)
{
	print FILENAME ":" FNR ": " why
}

FNR == 1 { inside = 0 }

!inside {
	if ($0 ~ /^\t* +\/\*/)
		report("spaces before a comment")
	if ($0 !~ /^[^"]*\/\*/ || $0 ~ /\/\*.*\*\//)
		next
	inside = 1
	head = $0
	sub(/\/\*.*/, "", head)
	start = columns(head)
	is_head = $0 ~ /\/\*$/
	text = ""
	before = $0
	nr_lines = nr_narrow = has_layout = 0
	next
}

{
	indent = $0
	sub(/[^ \t].*/, "", indent)
	word = $0
	sub(/^[ \t]*\*?/, "", word)
	ends = word ~ /\*?\/$/
	sub(/\*?\/$/, "", word)
	if (columns(indent) != start + 1 || $0 !~ /^[ \t]*\*/)
		report("a comment's line that does not begin below its start")
	if (!is_head && !has_layout && word ~ /^ *$/ && columns(before) + 3 <= 120)
		report("the end of a comment on a line of its own")
	if (word ~ /^ ?[^ ]/ && before !~ /\/\*$/) {
		split(word, words, " ")
		nr_lines++
		if (before !~ /\*$/ && columns(before) + 1 + length(words[1]) <= 100)
			nr_narrow++
	}
	if (word ~ /^  / || word ~ /^ ?[-|]/ || before ~ /[.:;]$/ || word == "")
		has_layout = !ends || word ~ /[^ ]/ ? 1 : has_layout
	if (ends) {
		if (nr_lines && nr_narrow == nr_lines && !has_layout)
			report("a comment broken long before column 120")
		inside = 0
	}
	before = $0
}
