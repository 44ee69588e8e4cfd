<?php
/*
 * Installs the blog by WordPress's own functions and writes its posts.
 * Input: one JSON list of {slug, title, text, date, clip, tags}; output: one JSON list of permalinks.
 */
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = parse_url(getenv('WORDPRESS_URL'), PHP_URL_HOST);
require getenv('WORDPRESS_ROOT') . '/wp-load.php';
foreach (['upgrade', 'image', 'media', 'file', 'post', 'comment', 'taxonomy'] as $part) {
    require_once ABSPATH . "wp-admin/includes/$part.php";
}
wp_install('絵日記 — a test blog', 'keeper', 'keeper@example.test', true, '', wp_generate_password());
foreach (get_posts(['post_type' => ['post', 'page'], 'post_status' => 'any', 'numberposts' => -1]) as $sample) {
    wp_delete_post($sample->ID, true);
}
update_option('blogdescription', 'Written by nobody here: WordPress as Debian ships it.');
update_option('permalink_structure', '/%postname%/');
update_option('show_avatars', 0);
update_option('default_comment_status', 'closed');
switch_theme('twentytwentythree');
global $wp_rewrite;
$wp_rewrite->init();
$wp_rewrite->flush_rules();

$links = [];
foreach (json_decode(stream_get_contents(STDIN), true) as $post) {
    $id = wp_insert_post([
        'post_title' => $post['title'], 'post_name' => $post['slug'], 'post_date' => $post['date'],
        'post_author' => 1, 'tags_input' => $post['tags'], 'post_status' => 'draft',
    ], true);
    $copy = wp_tempnam(basename($post['clip']));
    copy($post['clip'], $copy);
    $media = media_handle_sideload(['name' => $post['slug'] . '.mp4', 'tmp_name' => $copy], $id, $post['title']);
    if (is_wp_error($id) || is_wp_error($media)) {
        fwrite(STDERR, print_r([$id, $media], true));
        exit(1);
    }
    $url = wp_get_attachment_url($media);
    $block = "<!-- wp:paragraph --><p>{$post['text']}</p><!-- /wp:paragraph -->\n"
        . "<!-- wp:video {\"id\":$media} --><figure class=\"wp-block-video\">"
        . "<video controls src=\"$url\"></video></figure><!-- /wp:video -->";
    wp_update_post(['ID' => $id, 'post_content' => $block, 'post_status' => 'publish', 'edit_date' => true, 'post_date' => $post['date']]);
    // What WordPress itself stores for a linked media file (do_enclose), without asking the network.
    add_post_meta($id, 'enclosure', "$url\n" . filesize(get_attached_file($media)) . "\nvideo/mp4\n");
    $links[] = get_permalink($id);
}
echo json_encode($links, JSON_UNESCAPED_SLASHES), "\n";
